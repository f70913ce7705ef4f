"""The scripts of checks in real shells: dash, and busybox with its own tools where they have them."""

import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from educloud_lab.broker.checks.scene import decoded
from educloud_lab.broker.scripts import checking
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.ports.shell import Completed

SERIAL = "euca-vol-12345678-de"
TOOLS = "sh stat head tail grep base64 tr timeout id cat ping nc printf env su"


class Guest:
    """A shell and what stands for the machine's folders."""

    def __init__(self, path, shell):
        self.path, self.shell = path, shell
        for name in ("sys/block/vdb/vdb1", "sys/block/vda", "proc/self", "etc", "run", "bin"):
            (path / name).mkdir(parents=True)
        (path / "sys/block/vda/serial").write_text("system\n")
        (path / "sys/block/vdb/serial").write_text(SERIAL)
        for disk, number in (("vda", "254:0"), ("vdb", "254:16"), ("vdb/vdb1", "254:17")):
            (path / "sys/block" / disk / "dev").write_text(f"{number}\n")
        self.mounts("254:0 / / rw - ext4 /dev/vda rw", "254:16 / /data rw,noatime shared:1 - ext4 /dev/vdb rw")
        (path / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\nstudent:x:1000:1000:S:{path}/home:/bin/sh\n")
        (path / "home").mkdir()
        if shell == "busybox":
            own = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
            for tool in TOOLS.split():  # a build of it without su takes the system's, as an image would
                (path / "bin" / tool).symlink_to(shutil.which("busybox" if tool in own else tool))
            self.command = [shutil.which("busybox"), "sh"]
        else:
            self.command = [shutil.which(shell)]

    def mounts(self, *lines):
        numbered = [f"{20 + number} 1 {line}\n" for number, line in enumerate(lines)]
        (self.path / "proc/self/mountinfo").write_text("".join(numbered))

    @property
    def tools(self):
        return str(self.path / "bin") if self.shell == "busybox" else os.environ["PATH"]

    def ask(self, name, script, forms, *arguments, tools=""):
        environment = {
            "PATH": tools or self.tools,
            **{f"EDUCLOUD_{key.upper()}": str(self.path / key) for key in ("sys", "proc", "etc", "run")},
            "EDUCLOUD_DEV": "/dev",
            "EDUCLOUD_DPKG": str(self.path / "status"),
        }
        # As it travels: one block on standard input whose commands read /dev/null (adapters/ssh/connection.py).
        done = subprocess.run(
            [*self.command, "-s", "--", *arguments],
            input=b"{\n" + script.encode() + b"\n} </dev/null\n",
            env=environment,
            capture_output=True,
            timeout=300,
            check=False,
        )
        completed = Completed(done.returncode, done.stdout, done.stderr)
        return read_answer(name, completed, forms, required=tuple(forms))

    def file(self, path, text="", user="student"):
        return self.ask("check-file", checking.FILE, checking.FILE_FORMS, str(path), user, text)

    def mounted(self, path, serial=""):
        return self.ask("check-mounted", checking.MOUNTED, checking.MOUNTED_FORMS, path, serial)

    def port(self, port, ask="quiet", host="127.0.0.1", **named):
        arguments = (host, str(port), "3", ask)
        return self.ask("check-port", checking.PORT, checking.PORT_FORMS, *arguments, **named)


@pytest.fixture(params=["dash", "bash", "busybox"])
def guest(request, tmp_path):
    # Found by name; a shell that is missing must fail here, and not look as if nothing were wrong.
    assert shutil.which(request.param), f"{request.param} is missing"
    return Guest(tmp_path, request.param)


def test_files_folders_and_links(guest):
    path = guest.path / "home" / "two words"
    path.write_text("first\nhello * [world]\n")
    path.chmod(0o640)
    answer = guest.file(path)
    assert (answer["kind"], answer["mode"], answer["size"], answer["holds"]) == ("file", "640", "22", "-")
    assert answer["owner"] == path.owner()
    assert guest.file("~/two words") == answer
    (guest.path / "link").symlink_to(path)
    assert guest.file(guest.path / "link") == answer
    assert guest.file(guest.path / "home")["kind"] == "folder"
    assert guest.file(guest.path / "no")["kind"] == "none"
    (guest.path / "dangling").symlink_to(guest.path / "no")
    assert guest.file(guest.path / "dangling")["kind"] == "dangling"
    assert guest.file("/dev/null")["kind"] == "other"
    assert guest.file("~/x", user="nobody-here")["kind"] == "none"


def test_texts_are_looked_for_as_they_are(guest):
    path = guest.path / "file"
    path.write_text("first\nhello * [world] -e $HOME `id`\n")
    for text, holds in (
        ("hello * [world]", "yes"), ("hello . .world.", "no"), ("-e $HOME `id`", "yes"), ("Hello", "no"),
        ("$(touch x)", "no"), ("first\\nhello", "no"), ("-v", "no"),
    ):  # fmt: skip
        assert guest.file(path, text)["holds"] == holds, text
    path.write_bytes(b"\0\1binary\nneedle\n")
    assert guest.file(path, "needle")["holds"] == "yes"
    path.write_bytes(b"x" * 2**20 + b"needle\n")
    assert guest.file(path, "needle")["holds"] == "no"  # behind the first MiB


def test_a_pipe_is_not_read(guest):
    os.mkfifo(guest.path / "pipe")
    answer = guest.file(guest.path / "pipe", "x")
    assert (answer["kind"], answer["holds"]) == ("other", "-")


def test_what_is_mounted_where_and_from_which_disk(guest):
    assert guest.mounted("/data", SERIAL) == {"disk": "vdb", "source": "/dev/vdb", "type": "ext4", "same": "yes"}
    assert guest.mounted("/", SERIAL)["same"] == "no"
    assert guest.mounted("/mnt", SERIAL) == {"disk": "vdb", "source": "-", "type": "-", "same": "no"}
    assert guest.mounted("/mnt", "other") == {"disk": "none", "source": "-", "type": "-", "same": "no"}
    guest.mounts("254:17 / /data rw - ext4 /dev/vdb1 rw")
    assert guest.mounted("/data", SERIAL)["same"] == "yes"
    guest.mounts("254:16 / /data rw - ext4 /dev/disk/by-label/mine rw")
    assert guest.mounted("/data", SERIAL)["same"] == "yes"  # busybox's mount names it as it was asked for
    guest.mounts("254:16 / /data rw - ext4 /dev/vdb rw", "0:40 / /data rw - tmpfs tmpfs rw")
    assert guest.mounted("/data", SERIAL)["same"] == "no"  # covered
    guest.mounts("254:32 / /data rw - ext4 /dev/vdbb rw")
    assert guest.mounted("/data", SERIAL)["same"] == "no"
    guest.mounts("0:41 /sub /data rw - btrfs /dev/vdb rw")
    assert guest.mounted("/data", SERIAL)["same"] == "yes"


def test_a_mount_that_only_names_the_disk_is_not_from_it(guest):
    # fusermount lets anybody choose the name, and a tmpfs takes any.
    for line in ("0:42 / /data rw - fuse.sshfs /dev/vdb rw", "0:43 / /data rw - tmpfs /dev/vdb rw"):
        guest.mounts(line)
        assert guest.mounted("/data", SERIAL)["same"] == "no"
    guest.mounts("254:0 / /data rw - ext4 /dev/vdb rw")
    assert guest.mounted("/data", SERIAL)["same"] == "no"


class Page(threading.Thread):
    """A program that answers as many connections as come."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                line, _ = self.socket.accept()
            except OSError:
                return
            with line:
                line.settimeout(10.0)
                try:
                    said = b""
                    while b"\r\n\r\n" not in said and (more := line.recv(100)):
                        said += more
                    line.sendall(b"HTTP/1.0 200 OK\r\n\r\nheard " + said[:5] if said else b"")
                except OSError:
                    continue


@pytest.fixture
def page():
    made = Page()
    yield made.port
    made.socket.close()


@pytest.fixture
def nobody():
    """A port where nobody listens; bound, so that nobody else comes to listen there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_ports_that_answer_and_ports_where_nobody_listens(guest, page, nobody):
    if guest.shell == "busybox":  # this one has no bash, no python3, and an nc without -z
        assert guest.port(page)["state"] == "unknown"
        return
    assert guest.port(page) == {"state": "open", "own": "no", "text": ""}
    assert decoded(guest.port(page, "ask")["text"]) == "HTTP/1.0 200 OK\r\n\r\nheard GET /"
    assert guest.port(nobody)["state"] == "refused"
    assert guest.port(22, host="no-such-host.invalid")["state"] == "unresolved"


def test_python_stands_in_where_there_is_no_bash(guest, page, nobody):
    for tool in ("sh", "stat", "head", "grep", "base64", "tr", "timeout", "getent"):
        if not (guest.path / "bin" / tool).exists():
            (guest.path / "bin" / tool).symlink_to(shutil.which(tool))
    python = guest.path / "bin" / "python3"  # a link would lead into a virtual environment
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    tools = str(guest.path / "bin")
    assert guest.port(page, tools=tools)["state"] == "open"
    assert decoded(guest.port(page, "ask", tools=tools)["text"]) == "HTTP/1.0 200 OK\r\n\r\nheard GET /"
    assert guest.port(nobody, tools=tools)["state"] == "refused"


def test_an_address_of_the_machine_itself_is_known(guest, page):
    (guest.path / "proc/net").mkdir()
    (guest.path / "proc/net/fib_trie").write_text("Main:\n     |-- 127.0.0.1\n        /32 host LOCAL\n")
    assert guest.port(page)["own"] == "yes"
    (guest.path / "proc/net/fib_trie").write_text("     |-- 127.0.0.11\n")
    assert guest.port(page)["own"] == "no"


def test_processes_by_their_names(guest):
    for number, name in enumerate(("nginx", "nginx", "a-very-long-pro", "x y")):
        (guest.path / f"proc/{100 + number}").mkdir()
        (guest.path / f"proc/{100 + number}/comm").write_text(name + "\n")
    (guest.path / "proc/200").mkdir()  # it has just ended
    (guest.path / "proc/300").mkdir()
    (guest.path / "proc/300/comm").write_text("cron\n")
    (guest.path / "proc/300/stat").write_text("300 (cron) Z 1 300 300 0 -1\n")  # it has ended, and nobody asks how
    (guest.path / "proc/301").mkdir()
    (guest.path / "proc/301/comm").write_text("a) Z b\n")
    (guest.path / "proc/301/stat").write_text("301 (a) Z b) S 1 301 301 0 -1\n")

    def count(name):
        return guest.ask("check-process", checking.PROCESS, checking.PROCESS_FORMS, name)["count"]

    assert [count(name) for name in ("nginx", "a-very-long-process-name", "ngin", "*")] == ["2", "1", "0", "0"]
    assert [count(name) for name in ("cron", "a) Z b")] == ["0", "1"]


def test_services_are_asked_of_systemd_where_it_runs(guest):
    def state(name):
        return guest.ask("check-service", checking.SERVICE, checking.SERVICE_FORMS, name)

    if guest.shell == "busybox":
        assert state("nginx") == {"by": "none", "state": "unknown"}
    (guest.path / "run/systemd/system").mkdir(parents=True)
    tool = guest.path / "bin/systemctl"
    says = "case $1,$2,$3 in is-active,--,nginx) echo active ;; *) echo inactive ;; esac"
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)
    tools = f"{guest.path / 'bin'}:{guest.tools}"

    def told(name):
        return guest.ask("check-service", checking.SERVICE, checking.SERVICE_FORMS, name, tools=tools)

    assert told("nginx") == {"by": "systemd", "state": "active"}
    assert told("apache2") == {"by": "systemd", "state": "inactive"}


def test_packages_by_the_record_where_there_is_no_dpkg(guest):
    (guest.path / "status").write_text(
        "Package: curl\nStatus: install ok installed\nVersion: 1\n\n"
        "Package: vim\nStatus: deinstall ok config-files\n\nPackage: curl-dev\nStatus: install ok installed\n\n"
    )

    def state(name, tools=""):
        answer = guest.ask("check-package", checking.PACKAGE, checking.PACKAGE_FORMS, name, tools=tools)
        return answer["by"], answer["state"]

    only = str(guest.path / "bin")
    assert state("curl", only) == ("record", "installed")
    assert state("vim", only) == ("record", "missing")
    assert state("curl*", only) == ("record", "missing")
    (guest.path / "status").unlink()
    assert state("curl", only) == ("none", "missing")
    if guest.shell != "busybox":
        assert state("dash") == ("dpkg", "installed")
        assert state("no-such-package") == ("dpkg", "missing")


def test_users_and_their_groups(guest):
    def user(name, group=""):
        answer = guest.ask("check-user", checking.USER, checking.USER_FORMS, name, group)
        return answer["exists"], answer["member"]

    assert user("root", "root") == ("yes", "yes")
    assert user("root", "nogroup") == ("yes", "no")
    assert user("nobody-here", "root") == ("no", "no")


def command(guest, text, seconds="10", user="root"):
    answer = guest.ask("check-command", checking.COMMAND, checking.COMMAND_FORMS, user, text, seconds)
    output, _, status = decoded(answer["text"]).rpartition("\n")
    return status, output


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may become a user; tests/system/test_checks.py does on a machine"
)
def test_commands_their_status_and_their_output(guest):
    assert command(guest, "echo out; echo err >&2; exit 3") == ("3", "out\nerr\n")
    assert command(guest, "true") == ("0", "")
    assert command(guest, "no-such-command-at-all")[0] == "127"
    assert command(guest, "echo \"$1\" '$HOME' `echo x`") == ("0", " $HOME x\n")
    assert command(guest, "cat")[0] == "0"  # nothing to read
    status, output = command(guest, "head -c 90000 /dev/zero | tr '\\0' x; echo; echo end")
    assert status == "0"
    assert output.endswith("end\n")
    assert len(output) < 33000
    assert command(guest, "sleep 4", seconds="1")[0] in ("137", "143", "124")
