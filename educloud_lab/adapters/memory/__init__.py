"""The ports in memory, for tests: shipped, and held to the same contracts."""
