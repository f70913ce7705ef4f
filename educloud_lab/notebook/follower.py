"""A thread that tells a panel in the kernel what its server says, for as long as the panel lives and wants it."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from educloud_lab.notebook.panel import CloudPanel

PERIOD_S = 2.0
log = logging.getLogger(__name__)


class Follower:
    """Asks every two seconds. Holds the panel weakly: a panel that is let go ends its thread.

    Parameters
    ----------
    panel : whose traits are kept.
    period_s : between questions.
    """

    def __init__(self, panel: CloudPanel, *, period_s: float = PERIOD_S) -> None:
        self._panel = weakref.ref(panel)
        self._period_s = period_s
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="educloud-panel", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End after the question under way. Repeatable; does not wait."""
        self._over.set()

    def _run(self) -> None:
        from educloud_lab.client import connect
        from educloud_lab.domain.errors import EducloudError

        client: Any = None
        while not self._over.is_set():
            panel = self._panel()
            if panel is None:
                break
            try:
                client = client or connect()
                snapshot = client.snapshot()
                panel._take(panel._pick(snapshot), snapshot.server_time)
            except EducloudError as error:
                log.debug("the panel cannot ask its server: %s", error)
                panel._take(None)  # what is not known is not shown as if it were
            except Exception:  # an observer's mistake must not end the thread without a word
                log.exception("an observer of a CloudPanel failed")
            del panel
            self._over.wait(self._period_s)
        if client is not None:
            client.close()
