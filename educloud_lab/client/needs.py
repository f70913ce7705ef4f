"""Which lab this Python is about, when nobody says: the environment, else the metadata of its notebook.

:func:`find` is the whole answer, as a plan for either client. A kernel does not know its notebook; the Jupyter server
does, by the kernel's id, also after the notebook was renamed. Where that server cannot be asked (it is another
one, or older), the file that the kernel was started for is read.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from educloud_lab.client import requests, rules
from educloud_lab.client.errors import LabUnknownError, ServerUnreachableError
from educloud_lab.client.plans import Plan
from educloud_lab.domain.errors import EducloudError, NotFoundError
from educloud_lab.wire import models as wire

LAB = "EDUCLOUD_LAB"
MACHINE_PROFILE = "EDUCLOUD_MACHINE_PROFILE"
SESSION = "JPY_SESSION_NAME"
KEY = "educloud"
"""Where a notebook's metadata says what its lab needs."""

LARGEST_BYTES = 64 << 20
_SAY = 'Name it: machine("lab", "machine profile"), or set EDUCLOUD_LAB and EDUCLOUD_MACHINE_PROFILE.'
_CONNECTION_FILE = re.compile(r"kernel-([A-Za-z0-9-]{1,64})\.json")


def machine(lab: str | None, machine_profile: str | None, slot: str) -> Plan[wire.Lease]:
    """Return the lease of a lab, or of the one that this Python is about; made when there is none."""
    if lab is None:
        lab, machine_profile = os.environ.get(LAB) or None, machine_profile or os.environ.get(MACHINE_PROFILE)
    if lab is not None:
        return (yield from rules.machine(None, lab, machine_profile, slot))
    found = yield from of_notebook(os.environ)
    return (yield from rules.machine(found, None, machine_profile, found.slot if slot == "main" else slot))


def find(environ: Mapping[str, str] | None = None) -> Plan[wire.LabNeeds]:
    """Return what the lab needs.

    Raises
    ------
    LabUnknownError
        Neither the environment nor the notebook says; or only half of it.
    """
    environ = os.environ if environ is None else environ
    lab, machine_profile = environ.get(LAB), environ.get(MACHINE_PROFILE)
    if lab and machine_profile:
        return wire.LabNeeds.model_validate({"lab": lab, "machine_profile": machine_profile})
    if lab:
        raise LabUnknownError(f"{LAB} is set without {MACHINE_PROFILE}.", next_step="Set both.")
    return (yield from of_notebook(environ))


def of_notebook(environ: Mapping[str, str]) -> Plan[wire.LabNeeds]:
    """Return what the notebook says that this kernel runs for.

    Raises
    ------
    LabUnknownError
        This Python is no kernel of a notebook, or the notebook says nothing.
    """
    kernel = kernel_id()
    if kernel is not None:
        try:
            found: wire.LabNeeds = yield requests.needs(kernel)
        except (NotFoundError, ServerUnreachableError):
            pass  # not that server's kernel
        except EducloudError as error:
            if error.code != "http-404":  # an older server, without that route
                raise
        else:
            return found
    session = environ.get(SESSION, "")
    if session.endswith(".ipynb"):
        return needs_in(Path(session))
    where = "This Python is no kernel of a notebook" if kernel is None else "It cannot be told which notebook this is"
    raise LabUnknownError(f"{where}, so which lab it is about has to be said.", next_step=_SAY)


def kernel_id() -> str | None:
    """Return the id of the kernel that this process is, from its connection file; None when it is none."""
    module = sys.modules.get("ipykernel.kernelapp")  # a kernel has loaded it
    if module is None or not module.IPKernelApp.initialized():
        return None
    found = _CONNECTION_FILE.fullmatch(Path(module.IPKernelApp.instance().connection_file or "").name)
    return found[1] if found else None


def needs_in(path: Path) -> wire.LabNeeds:
    """Return what a notebook's file says that its lab needs.

    Raises
    ------
    LabUnknownError
        It cannot be read, or says nothing, or something else.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError("larger than a notebook")
        metadata = json.loads(path.read_bytes())["metadata"]
        said = metadata.get(KEY)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LabUnknownError(
            f"The notebook {path.name} cannot be read to see which lab it is about.", next_step=_SAY
        ) from error
    if said is None:
        raise LabUnknownError(f"The notebook {path.name} does not say which lab it is about.", next_step=_SAY)
    try:
        return wire.LabNeeds.model_validate(said)
    except ValidationError as error:
        raise LabUnknownError(
            f"What the notebook {path.name} says about its lab cannot be understood.",
            next_step="`educloud lab check` says what is wrong. " + _SAY,
        ) from error
