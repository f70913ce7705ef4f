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

    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "config": "GatewayApp.config_path",
        "log-level": "Application.log_level",
    }

    def start(self) -> None:
        """Serve until told to end; exits with 1 and one plain sentence when it cannot start."""
        # Imported here because asyncssh takes a tenth of a second that `educloud --help` need not pay.
        from educloud_lab.gateway import GatewayConfig, GatewayError, run

        logging.basicConfig(
            stream=sys.stderr,
            level=logging.WARNING,
            format="%(asctime)s %(levelname)s %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
        logging.getLogger("educloud.gateway").setLevel(min(int(str(self.log_level)), logging.INFO))
        try:
            run(GatewayConfig.load(Path(self.config_path)))
        except GatewayError as exc:
            print(f"educloud gateway: {exc}", file=sys.stderr)  # noqa: T201 (the command's own message to the person)
            self.exit(1)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    GatewayApp.launch_instance(argv)
