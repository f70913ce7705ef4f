"""Faults on demand: the local cloud fails as clouds fail, when its administrator asks for it."""
