"""Every port in memory, shipped for tests: verified against the same contracts as the real adapters."""
