"""What a failed command's last words mean, when it wanted somebody at a keyboard."""

from __future__ import annotations

import re
from typing import Final

HINT: Final = (
    "Nobody can type into a command that runs from a notebook: its input is empty. Give it what it asks for on its"
    " command line or from a file (--yes, -y, <<<), or run it in the machine's terminal."
)

# What programs print when their input is at its end or no terminal is there: Python, sudo, ssh, stty, passwd, read,
# debconf, editors and pagers, docker, apt.
_SIGNS: Final = re.compile(
    r"EOFError|EOF when reading a line|a terminal is required|no tty present|not a tty|not a terminal"
    r"|inappropriate ioctl for device|cannot open /dev/tty|/dev/tty: no such device|can't open /dev/tty"
    r"|Authentication token manipulation error|unable to initialize frontend: Dialog|nobody can type into this"
    r"|Do you want to continue\? \[Y/n\] Abort|error opening terminal|TERM environment variable not set"
    r"|end of file (?:on|from) (?:stdin|standard input)|Host key verification failed|askpass",
    re.IGNORECASE,
)


def hint_of(exit_status: int, tail: str) -> str:
    """Return what to do when a command failed because it wanted to be typed into; '' otherwise.

    Parameters
    ----------
    exit_status : its exit status.
    tail : the last of its output.
    """
    return HINT if exit_status != 0 and _SIGNS.search(tail) else ""
