"""How machines are connected: one small port, one driver a way of doing it."""
