"""One botocore session for the process, clients cached by credential, calls in a small thread pool.

A new botocore session costs about 236 ms and 26 MB, so there is one; importing boto3 happens at first use, off
the event loop.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from educloud_lab.adapters.ec2.recording import watch

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the cloud answers and as whom we call.

    Parameters
    ----------
    url : the compute endpoint, e.g. ``http://127.0.0.1:8773/services/compute/``.
    access_key, secret_key : the credentials.
    region : any name works on Eucalyptus, which does not check it.
    ca_file : certificate authority of an https endpoint; self-signed ones are normal there.
    front_end : network that SSH to machines comes from, for their security group; '' where it is not known.
    """

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "eucalyptus"
    ca_file: Path | None = None
    front_end: str = ""


def without_client_token(params: dict[str, Any], **_kwargs: object) -> None:
    """Drop ClientToken: botocore adds it to CreateVolume by itself and Eucalyptus's CreateVolumeType lacks it.

    Must return None: botocore takes any other value of a ``before-call`` handler for the answer.
    """
    params["body"].pop("ClientToken", None)


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()


@cache
def ec2_client(endpoint: Endpoint) -> EC2Client:
    """Return the client of these credentials, made once. Blocking: call it in a worker thread.

    Retries are ours (the broker's queue knows what was asked and why), so botocore sends each request once.
    """
    from botocore.config import Config

    with _LOCK:  # boto3 sessions are not safe for making clients in several threads at once
        client: EC2Client = _session().client(
            "ec2",
            region_name=endpoint.region,
            endpoint_url=endpoint.url,
            aws_access_key_id=endpoint.access_key,
            aws_secret_access_key=endpoint.secret_key,
            verify=str(endpoint.ca_file) if endpoint.ca_file else None,
            config=Config(
                connect_timeout=3,
                read_timeout=20,
                max_pool_connections=8,
                retries={"mode": "standard", "total_max_attempts": 1},
                user_agent_extra="educloud-lab",
                parameter_validation=True,
            ),
        )
        client.meta.events.register("before-call.ec2.CreateVolume", without_client_token)
        watch(client)
    return client
