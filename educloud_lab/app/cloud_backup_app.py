"""``educloud cloud backup`` and ``educloud cloud restore``."""

from __future__ import annotations

from pathlib import Path

from traitlets import Bool

from educloud_lab.app.cloud_command import CloudCommand, out
from educloud_lab.localcloud.settings import Folders


class CloudBackupApp(CloudCommand):
    """Write everything in the cloud into one file."""

    name = "educloud-cloud-backup"
    description = """Write the whole local cloud into FILE, or into a new file in FOLDER.

    It holds the state, volumes, snapshots, roots and images, key pairs, access keys and the gateway's keys: keep it as
    you keep a key. The API answers nobody while it is copied. Machines go on; of a running one it holds what its guest
    had synced at that moment, as after a power cut. What a guest keeps in memory, consoles and logs are not in it."""
    takes = ("FILE or FOLDER",)

    def _act(self) -> None:
        from educloud_lab.localcloud.backup import backup  # heavy: `educloud cloud --help` need not pay

        backup(self.place(), Path(self.extra_args[0]).expanduser().absolute(), say=out)


class CloudRestoreApp(CloudCommand):
    """Bring back what a backup holds."""

    name = "educloud-cloud-restore"
    description = """Put what a backup holds in the place of the local cloud, after checking all of it.

    Machines that ran are stopped afterwards (EBS-backed) or start with the cloud (instance-store)."""
    takes = ("FILE",)

    replace = Bool(False, help="Replace the cloud that is there: end its machines and delete its volumes.").tag(
        config=True
    )
    yes = Bool(False, help="Do not ask.").tag(config=True)

    flags = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "replace": ({"CloudRestoreApp": {"replace": True}}, "Replace the cloud that is there."),
        "yes": ({"CloudRestoreApp": {"yes": True}}, "Do not ask."),
    }

    def _act(self) -> None:
        from educloud_lab.localcloud.restore import restore  # heavy: `educloud cloud --help` need not pay

        folders = Folders(self.place())
        if self.replace and not self.yes and folders.state.exists():
            volumes = len(list(folders.volumes.glob("*.qcow2")))
            out(
                f"This ends all machines and deletes {folders.cloud} with {volumes} volumes once the backup is checked."
            )
            try:
                typed = input("Type replace to go on: ")
            except EOFError:
                typed = ""
            if typed.strip() != "replace":
                out("Nothing was changed.")
                self.exit(1)
        restore(self.place(), Path(self.extra_args[0]).expanduser().absolute(), replace=self.replace, say=out)
