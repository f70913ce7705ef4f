"""How guest scripts answer, and a reader that believes nothing else.

An answer is text of lines ``key value``; its first line is ``educloud NAME``, its last ``end``. Whatever a shell's
start-up files print before the first line is ignored; an unknown key, a key that comes twice, a value of the wrong
form or a missing end is a refusal. The machine belongs to a student who is root there: an answer is data, never
trusted further than its form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from educloud_lab.domain.errors import CommandFailedError
from educloud_lab.ports.shell import Completed

_LIMIT_BYTES = 64 * 1024


def read_answer(
    name: str, completed: Completed, forms: Mapping[str, str], *, required: tuple[str, ...] = ()
) -> dict[str, str]:
    """Read the answer of the script ``name``.

    Parameters
    ----------
    forms : regular expression of each key that may come.
    required : keys that must come.

    Raises
    ------
    CommandFailedError
        The script failed, or its answer has another form.
    """
    text = completed.stdout[:_LIMIT_BYTES].decode(errors="replace")
    tail = completed.stderr[-400:].decode(errors="replace").strip()
    if completed.exit_status != 0:
        raise _refusal(name, f"ended with status {completed.exit_status}", completed.exit_status, tail)
    lines = text.split("\n")
    try:
        first = lines.index(f"educloud {name}")
        last = lines.index("end", first)
    except ValueError:
        raise _refusal(name, "gave no complete answer", 0, tail) from None
    answer: dict[str, str] = {}
    for line in lines[first + 1 : last]:
        key, _, value = line.partition(" ")
        if key not in forms or key in answer or not re.fullmatch(forms[key], value):
            raise _refusal(name, f"gave an answer that we do not understand ({key[:40]!r})", 0, tail)
        answer[key] = value
    missing = [key for key in required if key not in answer]
    if missing:
        raise _refusal(name, f"did not say {missing[0]}", 0, tail)
    return answer


def _refusal(name: str, how: str, status: int, output: str) -> CommandFailedError:
    return CommandFailedError(
        f"The preparation '{name}' on the machine {how}.",
        exit_status=status,
        output=output,
        kept="Your files were not changed.",
        next_step="Press Start to try again; the console log may say more.",
    )
