"""What a page's terminal sends by itself, without anybody at the keys: it must not count as somebody's work.

A program on the machine can ask a terminal for its position, its colours or its name, as often as it likes; the page
answers as if that had been typed. So does a page that gets or loses the focus. What is left is input.
"""

from __future__ import annotations

import re
from typing import Final

# A modified F3 has the form of a position report, and is taken for one: nothing hangs on a single key.
_ANSWER: Final = re.compile(
    r"\x1b\[\??\d{1,5};\d{1,5}R"  # cursor position, plain or private (DSR 6 and ?6)
    r"|\x1b\[[?>=]?[\d;]*c"  # device attributes
    r"|\x1b\[\??\d*n"  # status
    r"|\x1b\[\??[\d;]*\$y"  # modes
    r"|\x1b\[[\d;]*t"  # window
    r"|\x1b\[[IO]"  # focus
    r"|\x1b[P\]_^][^\x1b\x07]*(?:\x07|\x1b\\)"  # strings: colours, names, settings
)


def answers_only(text: str) -> bool:
    """Say whether a text consists of a terminal's own answers and nothing that was typed."""
    position = 0
    while position < len(text):
        found = _ANSWER.match(text, position)
        if found is None:
            return False
        position = found.end()
    return True
