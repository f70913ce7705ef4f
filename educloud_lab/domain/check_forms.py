"""Every form of check, one entry each: what can be written, where it is judged, and an example.

To add one: an entry in ``check_forms_cloud`` or ``check_forms_machine``, an evaluator in ``broker.checks`` (decorated
with the entry's name), and ``scripts/generate_checks.py`` for the reference. A test fails for an entry without
evaluator, for an example that is not understood as its own form, and for one that another form takes away.
"""

from __future__ import annotations

from typing import Final

from educloud_lab.domain.check_form import KINDS as KINDS
from educloud_lab.domain.check_form import Form as Form
from educloud_lab.domain.check_form import Place as Place
from educloud_lab.domain.check_form import slots_of as slots_of
from educloud_lab.domain.check_forms_cloud import BY_HAND, OWN_MACHINE, SECURITY_GROUPS
from educloud_lab.domain.check_forms_machine import ON_THE_MACHINE, PORTS

GROUPS: Final = {
    "Your machine and its volume": OWN_MACHINE,
    "Security groups": SECURITY_GROUPS,
    "Things of the account, made by hand": BY_HAND,
    "Ports": PORTS,
    "On the machine": ON_THE_MACHINE,
}
"""The forms by what they are about, for the reference."""

FORMS: Final = tuple(form for forms in GROUPS.values() for form in forms)
