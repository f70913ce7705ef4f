"""Contracts between the broker and the world: small Protocols that say what raises and what may be repeated."""
