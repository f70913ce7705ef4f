"""``educloud cloud watch`` and ``educloud cloud metrics``: what there is in the local cloud, and how it fares."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NoReturn

from traitlets import Bool, Float

from educloud_lab.app.cloud_command import CloudCommand, out
from educloud_lab.localcloud.adminclient import fetch
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.overview import Picture, look
from educloud_lab.localcloud.settings import Folders

_ENDS = frozenset({"q", "Q", "\x03", "\x04"})  # also Ctrl-C and Ctrl-D, where the terminal hands them on


class CloudWatchApp(CloudCommand):
    """Watch the local cloud."""

    name = "educloud-cloud-watch"
    description = """Show machines, volumes, snapshots, images and events, and keep the picture up to date; q ends it.

    Without a terminal: what there is, then one line a change. It reads the cloud's state and changes nothing; it works
    while the cloud does not run, too."""

    once = Bool(False, help="Show it once and end.").tag(config=True)
    as_json = Bool(False, help="Write JSON: one document a line, each time that something changed.").tag(config=True)
    period = Float(1.0, min=0.1, max=3600.0, help="Seconds from one look to the next.").tag(config=True)

    _ended = False

    aliases = {**CloudCommand.aliases, "period": "CloudWatchApp.period"}  # noqa: RUF012 - traitlets' own kind

    flags = {  # noqa: RUF012
        "once": ({"CloudWatchApp": {"once": True}}, "Show it once and end."),
        "json": ({"CloudWatchApp": {"as_json": True}}, "Write JSON, one document a line."),
    }

    def _act(self) -> None:
        """Look, and look again until somebody has seen enough."""
        folders = Folders(self.place())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        with contextlib.suppress(KeyboardInterrupt):
            if self.as_json:
                self._write_json(folders)
            elif sys.stdout.isatty() and not self.once:
                self._show(folders)
            else:
                self._write_lines(folders)

    def _end(self, _number: int, _frame: object) -> NoReturn:
        # Remembered as well: where the signal meets a destructor or a weak reference's callback, the error is lost.
        self._ended = True
        raise KeyboardInterrupt

    def _write_json(self, folders: Folders) -> None:
        from educloud_lab.app.cloud_watch_view import as_json  # rich is loaded by this command only

        last = ""
        while not self._ended:
            text = json.dumps(as_json(look(folders)))
            if text != last:
                out(text)
            last = text
            if self.once:
                return
            time.sleep(self.period)

    def _write_lines(self, folders: Folders) -> None:
        from educloud_lab.app.cloud_watch_view import lines

        before: Picture | None = None
        while not self._ended:
            after = look(folders)
            for line in lines(before, after):
                out(line)
            before = after
            if self.once:
                return
            time.sleep(self.period)

    def _show(self, folders: Folders) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        from educloud_lab.app.cloud_watch_view import screen

        console = Console()
        with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
            while not self._ended:
                try:
                    height = shutil.get_terminal_size().lines
                    live.update(screen(look(folders), height, datetime.now(UTC)), refresh=True)
                except LocalCloudError as error:  # e.g. it is being upgraded or restored: the next look may do
                    live.update(Text(str(error), "red"), refresh=True)
                if pressed(self.period) in _ENDS:
                    return


class CloudMetricsApp(CloudCommand):
    """Print the local cloud's figures."""

    name = "educloud-cloud-metrics"
    description = "Print the running cloud's figures in Prometheus's text form (/metrics, signed as its administrator)."

    def _act(self) -> None:
        """Ask and print."""
        out(fetch(Folders(self.place()), "/metrics").rstrip("\n"))


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yield a function that waits so many seconds for a key; the terminal is as before at the end."""
    if not sys.stdin.isatty():

        def wait(limit_s: float) -> str:
            time.sleep(limit_s)
            return ""

        yield wait
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def pressed(limit_s: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], limit_s)
        return os.read(descriptor, 1).decode(errors="replace") or "\x04" if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
