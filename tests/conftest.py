"""Shared by all tests."""

# Imported here, before any test runs: importing it in the middle of a test rewrites its assertions there, and on
# Python 3.11.2 an exception logged during such a rewrite can break it ("AST constructor recursion depth mismatch").
import hypothesis

hypothesis.settings.register_profile("ci", deadline=None)
hypothesis.settings.load_profile("ci")
