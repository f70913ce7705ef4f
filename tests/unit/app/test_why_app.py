"""``educloud why``: which machine is meant, and what is printed."""

from types import SimpleNamespace

import pytest

from educloud_lab.app.why_app import lease_id_of
from educloud_lab.domain.errors import BadInputError


def client(*leases):
    found = [SimpleNamespace(id=key, lab=lab, slot=slot) for key, lab, slot in leases]
    return SimpleNamespace(settled=lambda: SimpleNamespace(leases=found))


def test_a_machine_is_named_by_its_id_or_by_its_lab():
    asked = client(("ab12", "01-first", "main"), ("cd34", "02-second", "main"))
    assert lease_id_of(asked, "ab12") == "ab12"
    assert lease_id_of(asked, "02-second") == "cd34"
    assert lease_id_of(asked, "ef56") == "ef56"  # one of an overseen course: the server decides


def test_a_lab_with_several_machines_asks_for_the_id():
    with pytest.raises(BadInputError, match=r"ab12 \(main\), cd34 \(server\)"):
        lease_id_of(client(("ab12", "lab", "main"), ("cd34", "lab", "server")), "lab")
