"""Asks the running local cloud something as its administrator: what a person's browser or curl cannot sign."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from urllib.parse import urlsplit

from educloud_lab.localcloud.accounts import ADMINISTRATOR
from educloud_lab.localcloud.api.sigv4 import ALGORITHM, SignedRequest, canonical_request, signing_key
from educloud_lab.localcloud.errors import LocalCloudError, NotRunningError
from educloud_lab.localcloud.settings import Folders

_LIMIT_S = 30.0


def fetch(folders: Folders, path: str) -> str:
    """Return what the cloud in this home answers to a signed GET of a path.

    Raises
    ------
    NotRunningError
        No cloud runs there, or it does not answer.
    LocalCloudError
        It refused.
    """
    try:
        endpoint = json.loads(folders.announcement.read_text())["endpoint_url"]
        keys = json.loads(folders.credentials.read_text())["accounts"][ADMINISTRATOR]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotRunningError("The local cloud does not run. Start it with: educloud cloud start") from error
    host = urlsplit(endpoint).netloc
    headers = _signed(host, path, keys["access_key"], keys["secret_key"])
    request = urllib.request.Request(f"http://{host}{path}", headers=headers)
    # No proxy: one that is set in the environment knows nothing of this computer's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_LIMIT_S) as reply:
            return str(reply.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            raise LocalCloudError(f"The local cloud refused {path} ({error.code}).") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotRunningError(
            f"The local cloud at {host} does not answer ({error}). See: educloud cloud status"
        ) from error


def _signed(host: str, path: str, access_key: str, secret_key: str) -> dict[str, str]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    plain = {"host": (host,), "x-amz-date": (stamp,)}
    scope = f"{stamp[:8]}/eucalyptus/admin/aws4_request"
    canonical = canonical_request(SignedRequest("GET", path, (), plain, b""), (), tuple(plain), path)
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(signing_key(secret_key, scope), text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={access_key}/{scope}"
    authorization = f"{ALGORITHM} {credential}, SignedHeaders={';'.join(plain)}, Signature={signature}"
    return {"Host": host, "X-Amz-Date": stamp, "Authorization": authorization}
