"""What callers do with instances after they were started."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.capacity import capacity, not_enough
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import find_instance, require, split_verbose, tags_of
from educloud_lab.localcloud.operations.instance_answers import answers_of
from educloud_lab.localcloud.operations.instance_views import Views, row_filters, state
from educloud_lab.localcloud.operations.run_instances import free_address
from educloud_lab.localcloud.state.tables import Attachment, Instance

CONSOLE_BYTES = 64 << 10


def _reachability(status: dict[str, Any]) -> list[str]:
    return [detail["Status"] for detail in status.get("Details", ())]


_STATUS_FILTERS: dict[str, filters.Values[dict[str, Any]]] = {
    "availability-zone": lambda status: [status["AvailabilityZone"]],
    "event.code": lambda _status: [],
    "event.description": lambda _status: [],
    "instance-state-code": lambda status: [status["InstanceState"]["Code"]],
    "instance-state-name": lambda status: [status["InstanceState"]["Name"]],
    "instance-status.reachability": lambda status: _reachability(status["InstanceStatus"]),
    "instance-status.status": lambda status: [status["InstanceStatus"]["Status"]],
    "system-status.reachability": lambda status: _reachability(status["SystemStatus"]),
    "system-status.status": lambda status: [status["SystemStatus"]["Status"]],
}


async def describe_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List instances, in the reservations that they were started in."""
    answers = answers_of(cloud.database)

    def work(session: Session) -> list[dict[str, Any]]:
        if not params.get("InstanceIds") and not params.get("Filters"):
            return answers.reservations(session, caller.account.account_id)
        rows, views = _select(session, caller, params)
        return views.reservations(rows)

    return {"Reservations": await cloud.database.run(work)}


async def describe_instance_status(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Tell what the cloud thinks of instances; as in Eucalyptus the instance's own status is always ok."""
    everything = bool(params.get("IncludeAllInstances", False))

    def work(session: Session) -> tuple[list[Instance], dict[str, dict[str, str]]]:
        rows, views = _select(session, caller, {"InstanceIds": params.get("InstanceIds", ())})
        return rows, views.tags

    rows, tags = await cloud.database.run(work)
    statuses: list[dict[str, Any]] = []
    for row in rows:
        if row.state != "running" and not everything:
            continue
        running = row.state == "running"
        reachable = {"Name": "reachability", "Status": "passed"}
        fine = {"Status": "ok", "Details": [reachable]}
        system = _impaired() if cloud.faults.is_impaired(row.node) else fine
        statuses.append(
            {
                "InstanceId": row.id, "AvailabilityZone": row.zone, "InstanceState": state(row.state),
                "SystemStatus": system if running else {"Status": "not-applicable"},
                "InstanceStatus": fine if running else {"Status": "not-applicable"},
            }
        )  # fmt: skip
    kept = filters.apply(
        statuses, params.get("Filters"), _STATUS_FILTERS, lambda status: tags.get(status["InstanceId"], {})
    )
    return {"InstanceStatuses": kept}


async def start_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Start stopped instances. Eucalyptus passes over those in any other state in silence; AWS does not."""

    def start(session: Session, row: Instance) -> bool:
        if row.state != "stopped":
            if not cloud.model.behaviour.strict_start:
                return False
            if row.state in ("pending", "running"):
                return True
            message = f"The instance '{row.id}' is not in a state from which it can be started."
            raise ApiError("IncorrectInstanceState", message)
        root = select(Attachment).where(Attachment.instance_id == row.id, Attachment.is_root)
        if session.scalar(root) is None:
            raise ApiError("IncorrectState", f"Instance '{row.id}' has no root volume attached")
        cloud.faults.refuse(session, row.owner, "StartInstances", row.zone, ids=(row.id,))
        if capacity(session, cloud, cloud.types[row.instance_type].memory_bytes, 1) < 1:
            raise not_enough(0, row.zone, 1)
        row.state, row.reason, row.started_at, row.resume = "pending", "USER_STARTED:  -- []", None, False
        row.address, row.address_shown = free_address(session, cloud), False
        return True

    return {"StartingInstances": await _change(cloud, caller, params, start)}


async def stop_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Stop EBS-backed instances; their volumes stay."""
    force = bool(params.get("Force", False))

    def stop(_session: Session, row: Instance) -> bool:
        if row.root_device_type != "ebs":
            message = f"The instance '{row.id}' does not have an 'ebs' root device type and cannot be stopped."
            raise ApiError("UnsupportedOperation", message)
        if row.state in ("shutting-down", "terminated"):
            message = f"This instance '{row.id}' is not in a state from which it can be stopped."
            raise ApiError("IncorrectInstanceState", message)
        if row.state in ("pending", "running"):
            row.state, row.reason = "stopping", "USER_STOPPED:  -- []"
            row.force_stop = force
        elif row.state == "stopping" and force:
            row.force_stop = True
        return True

    return {"StoppingInstances": await _change(cloud, caller, params, stop)}


async def terminate_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """End instances; volumes that are not theirs alone stay."""
    # Eucalyptus's administrators end protected instances all the same (VmControl.terminateInstances).
    above = caller.account.is_administrator and cloud.model.profile != "aws"

    def terminate(_session: Session, row: Instance) -> bool:
        if row.disable_termination and row.state != "terminated" and not above:
            raise ApiError("OperationNotPermitted", f"Termination protection enabled for instance {row.id}")
        if row.state not in ("shutting-down", "terminated"):
            row.state, row.reason = "shutting-down", "USER_TERMINATED:  -- []"
        return True

    return {"TerminatingInstances": await _change(cloud, caller, params, terminate)}


async def reboot_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Ask running instances to restart."""

    def check(_session: Session, row: Instance) -> bool:
        if row.state != "running":
            raise ApiError("IncorrectInstanceState", f"The instance '{row.id}' is not in the 'running' state.")
        return True

    for change in await _change(cloud, caller, params, check):
        cloud.reboot(change["InstanceId"])
    return {}


async def get_console_output(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Return the end of an instance's console; in Eucalyptus it has to run."""
    instance_id = require(params, "InstanceId")

    def work(session: Session) -> str:
        row = find_instance(session, caller, instance_id)
        if row.state != "running" and not cloud.model.behaviour.console_always:
            # A generic backend error in Eucalyptus, which its front end answers with 500.
            raise ApiError("InternalFailure", f"Instance {row.id} is not in a running state.", 500)
        return row.id

    found = await cloud.database.run(work)
    tail = await cloud.database.run(lambda _session: _tail(cloud.console_path(found)))
    output = base64.b64encode(tail or b" ").decode()
    return {"InstanceId": found, "Timestamp": cloud.now(), "Output": output}


def _impaired() -> dict[str, Any]:
    return {"Status": "impaired", "Details": [{"Name": "reachability", "Status": "failed"}]}


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - CONSOLE_BYTES))
            return stream.read(CONSOLE_BYTES)
    except FileNotFoundError:
        return b""


def _select(session: Session, caller: Caller, params: dict[str, Any]) -> tuple[list[Instance], Views]:
    ids, everybody = split_verbose(params.get("InstanceIds", ()), caller)
    owner = caller.account.account_id
    if ids:
        rows = list({row.id: row for row in (find_instance(session, caller, text) for text in ids)}.values())
    else:
        query = select(Instance).order_by(Instance.launched_at, Instance.reservation_id, Instance.launch_index)
        rows = list(session.scalars(query if everybody else query.where(Instance.owner == owner)))
    few = [row.id for row in rows] if ids else None
    views = Views(session, tags_of(session, None if everybody else owner, "instance", few), few)
    kept = filters.apply(rows, params.get("Filters"), row_filters(views), lambda row: views.tags.get(row.id, {}))
    return kept, views


async def _change(
    cloud: Cloud, caller: Caller, params: dict[str, Any], change: Callable[[Session, Instance], bool]
) -> list[dict[str, Any]]:
    """Apply one change to all named instances, or to none when any is refused."""
    ids = require(params, "InstanceIds", "InstanceId")

    def work(session: Session) -> list[dict[str, Any]]:
        found = []
        for text in ids:
            row = find_instance(session, caller, text)
            before = row.state
            if change(session, row):
                found.append({"InstanceId": row.id, "CurrentState": state(row.state), "PreviousState": state(before)})
        return found

    changes = await cloud.database.run(work)
    cloud.wake()
    return changes
