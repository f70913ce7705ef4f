"""Hypervisors behind one port (see base)."""
