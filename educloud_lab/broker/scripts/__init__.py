"""What the broker says to a machine: POSIX shell scripts with arguments, and strict readers of their answers."""
