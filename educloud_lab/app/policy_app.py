"""``educloud limits``: the cloud's own limit on instances, as a backstop behind ours."""

from __future__ import annotations

import json
from typing import Any

from traitlets import Bool, Integer

from educloud_lab.app.command import CommandGroup, StrictCommand, out

CAVEATS = (
    (
        "An administrator gives it to the account's group or user (euare-groupuploadpolicy, euare-useruploadpolicy) in"
        " place of what allows RunInstances there now."
    ),
    "The end is fixed when an instance is made: no call shows it, no call moves it, Keep does not reach it.",
    (
        "It stays across stop and start: an older instance is stopped again soon after each start. Delete the machine"
        " and start a new one then; the data volume stays."
    ),
    "At its end an EBS-backed instance is stopped and an instance-store instance terminated; nothing is unmounted.",
    "Of several policies that match, the latest end counts. Administrators of the cloud are not bound by it.",
    "Only Eucalyptus knows this condition: on AWS the policy allows nothing.",
)
"""Facts of Eucalyptus: ec2:KeepAlive (minutes) in compute's policy classes, enforced for running instances."""


def policy(minutes: int) -> dict[str, Any]:
    """Return an IAM policy that lets instances live for so many minutes.

    Parameters
    ----------
    minutes : from RunInstances on.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["ec2:RunInstances"],
                "Resource": "*",
                "Condition": {"NumericEquals": {"ec2:KeepAlive": str(minutes)}},
            }
        ],
    }


class PolicyApp(StrictCommand):
    """Print the policy."""

    name = "educloud-limits-policy"
    description = """Print an IAM policy by which Eucalyptus itself ends instances, as a backstop.

    Make it much longer than the longest session: what it ends is not saved first."""
    examples = "educloud limits policy --minutes 1440\neducloud limits policy --minutes 1440 --json >policy.json"
    minutes = Integer(1440, min=60, max=525600, help="How long an instance lives, from RunInstances on.").tag(
        config=True
    )
    as_json = Bool(False, help="Print the policy alone.").tag(config=True)
    aliases = {"minutes": "PolicyApp.minutes"}  # noqa: RUF012 - traitlets' own name and kind of attribute
    flags = {"json": ({"PolicyApp": {"as_json": True}}, "Print the policy alone.")}  # noqa: RUF012 - traitlets' own

    def start(self) -> None:
        """Print it."""
        out(json.dumps(policy(self.minutes), indent=2))
        if not self.as_json:
            out("\nKnow before:")
            for caveat in CAVEATS:
                out(f"- {caveat}")


class LimitsApp(CommandGroup):
    """The cloud's own limit on instances."""

    name = "educloud-limits"
    description = "The cloud's own limit on instances, as a backstop behind the limits of machine profiles."
    subcommands: Any = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "policy": ("educloud_lab.app.policy_app.PolicyApp", "Print a policy by which Eucalyptus ends instances.")
    }
