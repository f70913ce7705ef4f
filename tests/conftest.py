"""Shared by all tests."""

import signal

# What a shell begins in the background ignores interrupts, and all that it begins inherits that: tests that interrupt a
# program must not depend on how they themselves were begun.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Imported here, before any test runs: importing it in the middle of a test rewrites its assertions there, and on
# Python 3.11.2 an exception logged during such a rewrite can break it ("AST constructor recursion depth mismatch").
import hypothesis

# How long an example takes, or to think of one, says something of this computer and not of what is tested; and the same
# examples everywhere, so that a test which passes here does not meet a case of its own there. scripts/check-deep is for
# what is found by chance.
hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ci")
