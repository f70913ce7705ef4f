"""The local cloud's state in SQLite, with its own line of migrations."""
