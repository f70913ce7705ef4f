"""Checks of everything that a lab needs, each with what to do when it fails."""
