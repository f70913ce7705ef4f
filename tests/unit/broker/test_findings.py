"""What findings say: whole sentences for each who can do something, nothing that could cost data, no secrets."""

import inspect
import re
import runpy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.broker import data_disk, data_volume, growing, machine, stop
from educloud_lab.broker.diagnosis import report, rules_boot, rules_cloud, rules_instance, rules_volume
from educloud_lab.broker.diagnosis.catalogue import CATALOGUE, COMPONENT_NAMES
from educloud_lab.broker.diagnosis.console import read
from educloud_lab.broker.diagnosis.console_marks import Boot
from educloud_lab.broker.diagnosis.facts import Facts, Knock
from educloud_lab.broker.diagnosis.redact import redact
from educloud_lab.broker.diagnosis.rules import diagnose
from educloud_lab.broker.finding_view import wire_finding
from educloud_lab.domain.finding import Component
from educloud_lab.domain.job import JobKind, StepState
from educloud_lab.domain.lease import Problem, Status, Target
from educloud_lab.ports.cloud import InstanceSeen, InstanceState
from educloud_lab.ports.records import JobRecord, LeaseRecord, StepRecord
from tests.contracts import console_corpus

NOW = datetime(2026, 3, 2, 9, 10, tzinfo=UTC)
# Whatever could cost somebody's data, in any of the words that people use for it.
DESTRUCTIVE = re.compile(
    r"mkfs|format (?:it|the)|re-?format|fsck\s+-|-y\b|wipefs|\bdd\b|force|delete (?:the |a |your )?(?:data )?"
    r"(?:volume|disk|snapshot)|remove (?:the |a |your )?(?:data )?(?:volume|disk)|empty the (?:bin|volume)|"
    r"detach by hand|overwrite it|erase|initiali[sz]e|partition it|discard|purge",
    re.I,
)
NEGATED = re.compile(r"\b(?:nothing|never|not|no|neither|nor)\b", re.I)
FIELDS = ("what", "by_itself", "student", "instructor", "administrator", "hidden")


def texts():
    return [(entry.code, field, getattr(entry, field)) for entry in CATALOGUE.values() for field in FIELDS]


@pytest.mark.parametrize(("code", "field", "text"), [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in texts()])
def test_no_finding_suggests_what_could_cost_data(code, field, text):
    for sentence in re.split(r"(?<=[.:;])\s+", text):
        assert not DESTRUCTIVE.search(sentence) or NEGATED.search(sentence), sentence


def test_the_words_that_are_looked_for_are_found():
    for bad in (
        "Run mkfs on it.", "Format the volume again.", "Try fsck -y.", "Force the detachment.", "Delete the volume.",
        "Remove your data volume.", "Run e2fsck -y first.", "Wipe it with dd.", "Delete a snapshot to make room.",
    ):  # fmt: skip
        assert DESTRUCTIVE.search(bad), bad


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_finding_speaks_to_each_who_can_do_something(entry):
    for field in ("what", "by_itself", "student", "instructor", "administrator"):
        assert getattr(entry, field).endswith("."), field
    assert re.fullmatch(r"[a-z]+(?:-[a-z]+)*", entry.code)
    assert COMPONENT_NAMES[entry.component]


def test_every_finding_can_come_about_and_none_else():
    sources = "".join(inspect.getsource(m) for m in (rules_boot, rules_cloud, rules_instance, rules_volume))
    from educloud_lab.broker.diagnosis import rules

    sources += inspect.getsource(rules)
    for code in CATALOGUE:
        assert f'"{code}"' in sources, code
    assert set(re.findall(r'CATALOGUE\["([a-z-]+)"\]', sources)) <= set(CATALOGUE)


def test_every_component_has_a_finding():
    assert {entry.component for entry in CATALOGUE.values()} == set(Component) == set(COMPONENT_NAMES)


def test_what_a_job_says_is_recognised_by_words_that_it_does_say():
    said = "".join(inspect.getsource(m) for m in (data_disk, data_volume, growing, machine, stop))
    said = re.sub(r'"\s*\n\s*f?"', "", said)
    for _, words, code in rules_volume.PHRASES:
        assert words in said, words
        assert code in CATALOGUE
    for words in ("has no image", "is there, but the cloud says", "which this cloud cannot run", "by itself while it"):
        assert words in said, words


@pytest.mark.parametrize(
    ("kind", "text"),
    [pytest.param(k, t, id=f"{k}-{n}") for k, v in console_corpus.KINDS.items() for n, t in enumerate(v)],
)
def test_consoles_are_read_whatever_stood_on_them_before(kind, text):
    wanted = {
        "no-root-disk": {Boot.NO_ROOT}, "kernel-panic": {Boot.PANIC}, "no-boot": {Boot.NO_BOOT, Boot.EMPTY},
        "emergency-mode": {Boot.EMERGENCY}, "dhcp-failed": {Boot.NO_ADDRESS}, "metadata-silent": {Boot.NO_METADATA},
        "user-data-failed": {Boot.USER_DATA}, "sshd-down": {Boot.SSHD_DOWN}, "boots-slowly": {Boot.BOOTING},
        "way-blocked": {Boot.SSHD_UP},
    }[kind]  # fmt: skip
    assert read(text).boot in wanted
    if text.startswith(("[    0.0", "SeaBIOS", "[boot] kernel")):
        for before in (console_corpus.UP[0], console_corpus.KINDS["kernel-panic"][0]):
            assert read(before + text).boot in wanted


def test_what_a_later_line_takes_back_is_no_failure():
    text = "[boot] network: NO ADDRESS on eth0; this machine cannot be reached (it keeps asking)\n"
    assert read(text).boot is Boot.NO_ADDRESS
    assert read(text + "[boot] network: eth0 has address 172.16.64.16\n").boot is Boot.BOOTING


def facts(**changes):
    lease = LeaseRecord(
        id="ab12cd34ef56", course="local", lab="01-first", person="Ada Lovelace", slot="main", profile=PROFILE,
        created_at=NOW, updated_at=NOW, generation=2, target=Target.RUNNING, status=Status.STARTING,
        instance_id="i-0123456789abcdef0", instance_state="running", address="172.16.1.5", zone="one",
        launched_at=NOW - timedelta(minutes=9), client_token="c" * 64,
    )  # fmt: skip
    seen = InstanceSeen(
        lease.instance_id, InstanceState.RUNNING, lease.address, lease.launched_at, "emi-1", "t2.micro", "ebs", "one"
    )
    job = JobRecord(
        id="j", lease_id=lease.id, volume_id=None, kind=JobKind.START, scope="s", created_at=NOW - timedelta(minutes=9),
        next_attempt_at=NOW, attempts=1,
    )  # fmt: skip
    step = StepRecord(
        job_id="j", position=3, name="connect", state=StepState.DOING, started_at=NOW - timedelta(minutes=8)
    )
    usual = {
        "now": NOW,
        "lease": lease,
        "instance": seen,
        "job": job,
        "steps": (step,),
        "seen": True,
        "cloud_name": "c",
    }
    return Facts(**{**usual, **changes})


KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\nAAAAB2NhbmFyeQ==\n"
    "-----END OPENSSH PRIVATE KEY-----"
)
CANARIES = (
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ", "AAAAB2NhbmFyeQ", "hunter2-canary", "AKIACANARY1234567890",
    "wJalrXUtnFEMIcanaryK7MDENGbPxRfiCYEXAMPLEKEY", "s3cr3t-canary", "tok-canary", "cookie-canary",
)  # fmt: skip
SECRETS = (
    f"cloud-init[1]: #!/bin/sh\n{KEY}\n"
    "mysql: password=hunter2-canary\nexport AWS_ACCESS_KEY_ID=AKIACANARY1234567890\n"
    "aws_secret_access_key: wJalrXUtnFEMIcanaryK7MDENGbPxRfiCYEXAMPLEKEY\n"
    "curl http://bob:s3cr3t-canary@example.org/ -H 'Authorization: Bearer tok-canary'\nCookie: sid=cookie-canary\n"
)


@pytest.mark.parametrize("console", [SECRETS, SECRETS * 3, SECRETS[60:], SECRETS + "Kernel panic - not syncing: x\n"])
def test_no_secret_of_a_console_or_of_an_answer_gets_out(console):
    problem = Problem("never-answered", "It did not answer: token=tok-canary.", "", "", NOW)
    looked = facts(console=console, knock=Knock.SILENT, knock_text="secret: s3cr3t-canary")
    looked = replace(looked, lease=replace(looked.lease, problem=problem), unseen=("console: password=hunter2-canary",))
    findings = diagnose(looked)
    assert findings
    out = report.text_of(looked, findings, version="1.0") + report.tail(console)
    out += "".join(wire_finding(one).model_dump_json() for one in findings)
    for canary in CANARIES:
        assert canary not in out, canary


def test_a_key_whose_beginning_scrolled_away_is_left_out():
    tail = KEY[50:]
    assert "AAAAB2NhbmFyeQ" not in redact(tail)
    assert (
        redact("eth0 has address 172.16.64.16, vol-0123456789abcdef0")
        == "eth0 has address 172.16.64.16, vol-0123456789abcdef0"
    )


def test_the_report_has_ids_states_ages_and_times_and_names_nobody():
    looked = facts(console="Kernel panic - not syncing: VFS: Unable to mount root fs\n", zones={"one": "available"})
    text = report.text_of(looked, diagnose(looked), version="9.9")
    for part in (
        "educloud-lab 9.9", "2026-03-02 09:10:00 UTC", "ab12cd34ef56", "i-0123456789abcdef0", "no-root-disk",
        "zone: one available", "launched 9 min ago", "for the administrator:", "generation 2",
    ):  # fmt: skip
        assert part in text, part
    assert "Ada" not in text
    assert "c" * 64 not in text


def test_a_step_that_takes_its_usual_time_is_no_finding():
    step = StepRecord(
        job_id="j", position=3, name="connect", state=StepState.DOING, started_at=NOW - timedelta(seconds=60)
    )
    assert diagnose(facts(steps=(step,), console="[boot] kernel is up, loading drivers\n")) == []
    slow = {"connect": 200.0}  # what was measured here counts
    late = replace(step, started_at=NOW - timedelta(seconds=500))
    assert diagnose(facts(steps=(late,), usual_s=slow, console="[boot] kernel is up\n")) == []


def test_the_reference_lists_every_finding():
    script = Path(__file__).parents[3] / "scripts" / "generate_findings.py"
    page_of = runpy.run_path(str(script))["page_of"]
    page = (script.parents[1] / "docs" / "reference" / "findings.md").read_text()
    assert page == page_of(), "run scripts/generate_findings.py"
    assert all(f"### `{code}`" in page for code in CATALOGUE)
