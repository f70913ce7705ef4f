"""Making and reading resource ids as Eucalyptus writes them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from educloud_lab.localcloud.errors import ApiError, invalid

_HEX = r"(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{17})"
_INSTANCE = re.compile(rf"i-{_HEX}")
_NAMES = {"vol": "volume", "snap": "snapshotId", "emi": "image", "ami": "image", "sg": "groupId", "i": "instanceId"}


def new_id(prefix: str, digits: int = 17) -> str:
    """Return a fresh id: with 17 hexadecimal digits as Eucalyptus 5 and 6 make them, with 8 as version 4.4."""
    return f"{prefix}-{secrets.token_hex(9)[:digits]}"


def check_instance_id(text: str) -> str:
    """Return the id in lower case; raises ``InvalidInstanceID.Malformed``."""
    if not _INSTANCE.fullmatch(text):
        raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{text[:100]}"')
    return text.lower()


def check_id(text: str, prefix: str, *more: str, what: str = "") -> str:
    """Return the id in lower case; raises ``InvalidParameterValue`` as Eucalyptus words it.

    Parameters
    ----------
    what : how the parameter is called in the message, where not as usual (listings say ``volumes``).
    """
    prefixes = (prefix, *more)
    if not re.fullmatch(rf"(?:{'|'.join(prefixes)})-{_HEX}", text):
        what = what or _NAMES.get(prefix, prefix)
        raise invalid(f"Value ({text[:100]}) for parameter {what} is invalid. Expected: '{prefix}-...'.")
    return text.lower()


def check_image_id(text: str, prefixes: Mapping[str, str]) -> str:
    """Return the id in lower case; ids of other profiles may be in a state that was kept, so all are read."""
    first = prefixes["machine"]
    return check_id(text, first, *prefixes.values(), "emi", "eki", "eri", "ami", "aki", "ari")


def mac_address(instance_id: str) -> str:
    """Return the locally administered MAC address that belongs to an instance id (d0:0d as in Eucalyptus)."""
    digits = instance_id.removeprefix("i-").rjust(8, "0")[-8:]
    return "d0:0d:" + ":".join(digits[i : i + 2] for i in range(0, 8, 2))
