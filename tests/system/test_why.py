"""The doctor and real machines: an image whose ramdisk was forgotten, and an SSH server that does not run any more."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from educloud_lab.domain.errors import EducloudError
from educloud_lab.localcloud.faults.client import FaultClient
from tests.system.at_lab import Records, start
from tests.system.conftest import Bench, JupyterLab, wait_for

pytestmark = pytest.mark.qemu

LAB, OTHER = "why", "why not"
LIMIT_S = 240


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    module_bench.educloud("cloud", "start")
    return module_bench.lab(tmp_path_factory.mktemp("notes"))


def asked(server: JupyterLab, lease: dict[str, Any], code: str) -> dict[str, Any]:
    """Ask until the doctor's first finding is this one."""

    def why() -> dict[str, Any]:
        status, answer = server.call("GET", f"leases/{lease['id']}/why")
        assert status == 200, answer
        return answer if answer["findings"] and answer["findings"][0]["code"] == code else {}

    found: dict[str, Any] = wait_for(f"the finding {code}", why, timeout_s=LIMIT_S, period_s=1)
    return found


def test_a_ramdisk_that_was_forgotten_is_found_on_the_console(module_bench: Bench, server: JupyterLab) -> None:
    with FaultClient.of_home(module_bench.home).fault("image-does-not-boot"):
        lease = start(server, LAB)
        why = asked(server, lease, "no-root-disk")
        finding = why["findings"][0]
        assert (finding["component"], finding["sure"]) == ("image", "certain")
        assert any("Unable to mount root fs" in item["seen"] for item in finding["evidence"])
        assert "Kernel panic" in why["console_tail"]
        text = module_bench.educloud("why", LAB, "--text").stdout
        assert server.lease(LAB)["instance"]["id"] in text
        assert "no-root-disk (image" in text
        assert server.token not in text
        plain = module_bench.educloud("why", lease["id"]).stdout
        assert "registered without its ramdisk" in " ".join(plain.split())
        assert module_bench.educloud("why", "no such lab", check=False).returncode == 1
    # It is left as it stands: a kernel that panicked lets go of nothing, and its end would take minutes.


def test_an_ssh_server_that_stopped_is_told_from_a_machine_that_did(module_bench: Bench, server: JupyterLab) -> None:
    lease = start(server, OTHER)
    server.wait_phase(OTHER, "ready", timeout_s=LIMIT_S)
    _, why = server.call("GET", f"leases/{lease['id']}/why")
    assert why["healthy"], why
    # Its supervisor starts it again and again, and says each time that it ended.
    script = "cp /bin/false /run/no-sshd; mount -o bind /run/no-sshd /usr/sbin/sshd; kill $(cat /run/sshd.pid)"
    with contextlib.suppress(EducloudError):  # the connection that told it may end before its answer
        Records(module_bench).run(lease["id"], script, root=True)
    finding = asked(server, lease, "sshd-down")["findings"][0]
    assert finding["component"] == "machine"
    assert server.lease(OTHER)["phase"] == "ready"  # the cloud still says that it runs
