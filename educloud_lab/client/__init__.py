"""The typed HTTP client over wire."""
