"""``educloud gateway``: run the SSH front end in the foreground, logging to standard error."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from traitlets import Unicode

from educloud_lab.app.command import StrictCommand


class GatewayApp(StrictCommand):
    """The SSH front end of a campus or of the local cloud."""

    name = "educloud-gateway"
    description = """Run the SSH front end in the foreground.

    It lets people reach their own machines on the private network, and nothing else. It ends in order on SIGTERM
    or Ctrl-C; forwards that are open then are closed."""
    examples = "educloud gateway --config /etc/educloud/gateway.json"

    config_path = Unicode("gateway.json", help="The gateway's configuration file.").tag(config=True)

    log_file = Unicode(
        help="File that this command's output goes to: it is rotated while the gateway runs. Default: none is."
    ).tag(config=True)

    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "config": "GatewayApp.config_path",
        "log-file": "GatewayApp.log_file",
        "log-level": "Application.log_level",
    }

    def start(self) -> None:
        """Serve until told to end; exits with 1 and one plain sentence when it cannot start."""
        # Imported here because asyncssh takes a tenth of a second that `educloud --help` need not pay.
        from educloud_lab.gateway import GatewayConfig, GatewayError, run

        configure(min(int(str(self.log_level)), logging.INFO), self.log_file)
        try:
            run(GatewayConfig.load(Path(self.config_path)))
        except GatewayError as exc:
            print(f"educloud gateway: {exc}", file=sys.stderr)  # noqa: T201 (the command's own message to the person)
            self.exit(1)


def configure(level: int, log_file: str, max_bytes: int | None = None) -> None:
    """Log to the standard error output; where that is ``log_file``, rotate it at ``max_bytes`` (default 8 MiB)."""
    from educloud_lab.gateway.logfile import MAX_BYTES, TIME_FORMAT, output_handler

    handler = output_handler(Path(log_file) if log_file else None, max_bytes or MAX_BYTES)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", TIME_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("educloud.gateway").setLevel(level)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    GatewayApp.launch_instance(argv)
