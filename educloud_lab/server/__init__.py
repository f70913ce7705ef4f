"""Jupyter Server handlers: thin verbs, one table of errors, one table of routes."""
