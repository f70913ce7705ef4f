"""What stands for disks and machines in memory: enough to tell a careful broker from a careless one.

Everything that must never happen is written to ``violations``; a test that ends with an empty list has shown something.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field


def fake_key(seed: str) -> str:
    """Return a public key line of the right form."""
    digest = hashlib.sha512(seed.encode()).digest()[:51]
    return f"ssh-ed25519 {base64.b64encode(digest).decode()}"


@dataclass(slots=True)
class MemoryDisk:
    """A volume's content as far as anybody looks at it."""

    volume_id: str
    size_bytes: int
    type: str = "-"  # what blkid finds
    uuid: str = "-"
    signature: bool = False  # something that wipefs finds and blkid does not
    zeros: bool = True
    unreadable: bool = False
    dirty: str = ""  # "" clean, "journal" repaired by preen, "beyond" needs a person
    formats: int = 0
    file_system_bytes: int = 0  # less than the disk after it grew, until the file system is extended
    written_s: int = 0  # the file system's own last write, seconds since 1970
    mount_count: int = 0
    files: dict[str, str] = field(default_factory=dict)

    @property
    def is_blank(self) -> bool:
        """Whether nobody would miss anything."""
        return self.type == "-" and not self.signature and self.zeros and not self.unreadable


@dataclass(slots=True)
class MemoryMachine:
    """One instance's inside. What is on its system disk survives a stop."""

    instance_id: str
    user_data: str
    ssh_up_at_s: float = 0.0
    up: bool = False
    hung: bool = False  # no SSH, and the power button is ignored
    refuses_login: bool = False
    bootstrap_key: str = ""
    own_key: str = ""
    configured_own: bool = False  # the sshd configuration names its own key
    served_key: str = ""  # what sshd shows now
    ca: str = ""
    principals: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, str] = field(default_factory=dict)  # mount point: volume id
    frozen: dict[str, float] = field(default_factory=dict)  # volume id: thawed by itself at
    holders: list[str] = field(default_factory=list)  # command lines of programs that KILL does not end
    messages: list[str] = field(default_factory=list)
    console: str = ""
    told: list[str] = field(default_factory=list)  # to its terminals
    load: float = 0.0  # its load average
    work_share: float = 0.0  # of one core, used by its people's programs
    work_ticks: int = 0
    guard: tuple[int, int] | None = None  # its own timer: sequence, and the end in seconds since 1970
    no_guard: bool = False  # it cannot have one
    listens: dict[str, bytes] = field(default_factory=dict)  # "*:80" or "host:80": what it says
    neighbours: set[str] = field(default_factory=set)  # hosts that answer its pings
    files: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)  # path: kind, owner, mode, content
    commands: dict[str, tuple[int, str]] = field(default_factory=dict)  # command: status, output
    processes: list[str] = field(default_factory=list)
    services: dict[str, str] | None = None  # states by name, None without a service manager
    packages: set[str] = field(default_factory=set)
    users: dict[str, set[str]] = field(default_factory=dict)  # name: groups

    def boot(self, now_s: float, boot_s: float) -> None:
        """Come up; user data is read on the first boot only."""
        self.up = True
        self.ssh_up_at_s = now_s + boot_s
        self.console += "booting\n"
        if not self.principals:
            for principal, user in re.findall(r"^printf '%s\\n' '(\S+)' > \S+/principals/(\S+)$", self.user_data, re.M):
                self.principals[user] = principal
            found = re.search(r"printf '%s\\n' '(ssh-ed25519 \S+)' > \S+/user_ca.pub", self.user_data)
            self.ca = found.group(1) if found else ""
            secret = re.search(r"^private of (ssh-ed25519 \S+)$", self.user_data, re.M)
            self.bootstrap_key = secret.group(1) if secret else ""
        self.served_key = self.own_key if self.configured_own else self.bootstrap_key

    def down(self) -> None:
        """Go down, cleanly or not."""
        self.up = False
        self.mounts.clear()
        self.frozen.clear()
