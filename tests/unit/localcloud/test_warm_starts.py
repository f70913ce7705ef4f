"""What is done when a template fits, fails, is damaged or is cut off: decided here, with QEMU played by functions."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from educloud_lab.localcloud.hypervisor import qemu_record, qemu_warm
from educloud_lab.localcloud.hypervisor.base import BootRefusedError, DiskSpec, HypervisorError, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor
from educloud_lab.localcloud.hypervisor.qemu_machine import Machine
from educloud_lab.localcloud.hypervisor.qemu_queue import StartQueue
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles, MachineRecord
from educloud_lab.localcloud.hypervisor.qemu_warm import Start, WarmStarts
from educloud_lab.localcloud.hypervisor.templates import Template
from educloud_lab.localcloud.hypervisor.templates_command import WARM_WORD
from educloud_lab.localcloud.hypervisor.templates_personality import TemplateError
from educloud_lab.localcloud.network.slirp import SlirpNetwork


class Rig:
    """Warm starts whose QEMU is played: what was launched, and how the guest takes its personality."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.launched: list[str] = []
        self.renewed: list[Path] = []
        self.made: list[str] = []
        self.launch_error: HypervisorError | None = None
        self.personal_error: BaseException | None = None
        self.template: Template | None = Template("tpl-1", tmp_path / "tpl-1", tmp_path, 256, 1)
        self.removed: list[str] = []
        self.fits = True
        self.warm = WarmStarts(tmp_path / "templates", StartQueue(2), run_dir=tmp_path / "m", log_dir=tmp_path / "l")
        spec = MachineSpec(
            instance_id="i-1", architecture="x86_64", cpus=1, memory_bytes=256 << 20,
            root=DiskSpec("root", tmp_path / "root.qcow2", "root"), kernel=tmp_path / "vmlinux", ramdisk=None,
            kernel_args=WARM_WORD, mac="d0:0d:01:02:03:04", address="172.16.77.5",
            metadata_socket=tmp_path / "md", console_path=tmp_path / "console",
        )  # fmt: skip
        self.start = Start(spec, MachineFiles(tmp_path / "m/i-1", tmp_path / "log"), "tcg", "/q", SlirpNetwork())
        self.held: list[Machine] = []
        self.wanted = True

        async def launch(files, spec, *, template=None, **_kind):
            self.launched.append(template.template_id if template else "cold")
            if template and self.launch_error:
                raise self.launch_error
            files.prepare()
            record = MachineRecord(
                spec, "tcg", template=template.template_id if template else "", personal=not template
            )
            qemu_record.save(files, record)
            return Machine(files, record)

        async def go_on(*_arguments):
            if self.personal_error:
                raise self.personal_error

        async def renew(path):
            self.renewed.append(path)

        async def make(_store, key, *_arguments, **_kind):
            self.made.append(key.template_id)
            return Template(key.template_id, tmp_path, tmp_path, 256, 1)

        async def version(_binary):
            return "QEMU 7"

        monkeypatch.setattr(Machine, "launch", launch)
        monkeypatch.setattr(qemu_warm, "go_on", go_on)
        monkeypatch.setattr(qemu_warm, "renew_disk", renew)
        monkeypatch.setattr(qemu_warm, "can_go_on", lambda _spec: self.fits)
        monkeypatch.setattr(qemu_warm, "key_of", lambda *_arguments: self)
        monkeypatch.setattr(qemu_warm.templates_build, "make", make)
        monkeypatch.setattr(qemu_warm.acceleration, "qemu_version", version)
        monkeypatch.setattr(qemu_warm, "QUIET_S", 0.0)
        monkeypatch.setattr(self.warm._store, "find", lambda _key: self.template)
        monkeypatch.setattr(self.warm._store, "remove", lambda template: self.removed.append(template.template_id))

    template_id = "tpl-1"  # it plays the key as well

    def check_wanted(self) -> None:
        if not self.wanted:
            raise HypervisorError("cut off")

    async def launch(self) -> Machine:
        return await self.warm.launch(self.start, self.held.append, self.check_wanted)


@pytest.fixture
def rig(tmp_path, monkeypatch):
    return Rig(tmp_path, monkeypatch)


async def test_a_machine_goes_on_where_a_template_fits_and_is_kept_only_once_it_is_itself(rig):
    machine = await rig.launch()
    assert rig.launched == ["tpl-1"]
    assert (machine.record.template, machine.record.personal) == ("tpl-1", True)
    assert qemu_record.load(machine.files).personal
    assert rig.held == [machine]
    assert rig.warm._making is None  # no other is needed


async def test_without_a_template_it_boots_and_one_is_made(rig):
    rig.template = None
    machine = await rig.launch()
    assert rig.launched == ["cold"]
    assert machine.record.template == ""
    await rig.warm._making
    assert rig.made == ["tpl-1"]


async def test_a_machine_that_could_never_go_on_has_none_made(rig):
    rig.fits = False
    await rig.launch()
    assert rig.launched == ["cold"]
    assert rig.warm._making is None


@pytest.mark.parametrize("error", [TemplateError("said failed"), TemplateError("nothing in 20 s")])
async def test_a_guest_that_does_not_become_itself_boots_on_a_new_disk(rig, error):
    rig.personal_error = error
    rig.start.spec.console_path.write_text("half a machine\n")
    machine = await rig.launch()
    assert rig.launched == ["tpl-1", "cold"]
    assert rig.renewed == [rig.start.spec.root.path]
    assert not rig.start.spec.console_path.exists()
    assert machine.record.template == ""
    assert rig.held[-1] is machine


async def test_a_process_that_does_not_start_from_a_template_starts_cold(rig):
    rig.launch_error = BootRefusedError("no such machine")
    assert (await rig.launch()).record.template == ""
    assert rig.launched == ["tpl-1", "cold"]
    assert rig.renewed == []  # no guest has run on it


async def test_two_failures_end_the_use_of_a_template(rig):
    rig.personal_error = TemplateError("no")
    await rig.launch()
    assert rig.removed == []
    await rig.launch()
    assert rig.removed == ["tpl-1"]
    await rig.launch()
    assert rig.launched == ["tpl-1", "cold", "tpl-1", "cold", "cold"]
    await rig.warm.close()


async def test_a_machine_that_is_cut_off_meanwhile_is_not_booted(rig):
    rig.personal_error = TemplateError("its process ended")
    rig.wanted = False
    with pytest.raises(HypervisorError, match="cut off"):
        await rig.launch()
    assert rig.launched == ["tpl-1"]


async def test_a_caller_that_gives_up_leaves_nothing(rig):
    rig.personal_error = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await rig.launch()
    assert rig.renewed == [rig.start.spec.root.path]
    assert not rig.start.files.folder.exists()


async def test_a_template_that_cannot_be_made_is_not_tried_for_ever(rig, monkeypatch):
    tries = []

    async def make(*_arguments, **_kind):
        tries.append(1)
        raise TemplateError("the guest never waited")

    monkeypatch.setattr(qemu_warm.templates_build, "make", make)
    rig.template = None
    for _ in range(4):
        await rig.launch()
        if rig.warm._making is not None:
            await rig.warm._making
    assert len(tries) == 2
    assert rig.launched == ["cold"] * 4


async def test_too_little_memory_makes_no_template(rig, monkeypatch):
    monkeypatch.setattr(qemu_warm, "available_memory_bytes", lambda: 600 << 20)
    rig.template = None
    await rig.launch()
    await rig.warm._making
    assert rig.made == []


async def test_off_is_off(rig, tmp_path):
    rig.warm = WarmStarts(None, StartQueue(2), run_dir=tmp_path, log_dir=tmp_path)
    await rig.launch()
    assert rig.launched == ["cold"]
    assert rig.warm._making is None


async def test_a_machine_that_was_left_half_itself_is_ended_by_the_next_process(tmp_path, rig, monkeypatch):
    """The cloud's process was killed between the start of QEMU and the guest's answer."""
    files = MachineFiles(tmp_path / "run/i-1", tmp_path / "log")
    files.prepare()
    spec = replace(rig.start.spec, root=DiskSpec("root", tmp_path / "half.qcow2", "root"))
    record = MachineRecord(spec, "tcg", pid=2**22 + 1, start_ticks=1, template="tpl-1", personal=False)
    qemu_record.save(files, record)
    other = MachineFiles(tmp_path / "run/i-2", tmp_path / "log")
    other.prepare()
    qemu_record.save(other, replace(record, spec=replace(spec, instance_id="i-2"), personal=True))
    hypervisor = QemuHypervisor(run_dir=tmp_path / "run", log_dir=tmp_path, accel="tcg", network=SlirpNetwork())
    await hypervisor.open()
    assert set(await hypervisor.report_all()) == {"i-2"}
    assert rig.renewed == [tmp_path / "half.qcow2"]
    assert not files.folder.exists()
    assert other.folder.exists()
    await hypervisor.close()
