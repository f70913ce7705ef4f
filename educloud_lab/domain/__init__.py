"""The rules, in plain Python: no input, no output, no clock of its own."""
