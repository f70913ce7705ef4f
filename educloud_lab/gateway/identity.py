"""Who a connection is: what its certificate or key proved, and nothing that the client merely said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Identity:
    """A proven identity.

    Attributes
    ----------
    kind : {"certificate", "key", "control"}
        A person's certificate, a person's key pair, or the broker's certificate for control commands.
    key_data : bytes
        The key proven (``key``) or the authority that signed the certificate, in SSH wire form.
    fingerprint : str
        That key's SHA-256 fingerprint.
    principals : frozenset of str
        The certificate's principals; empty for a key pair.
    """

    kind: Literal["certificate", "key", "control"]
    key_data: bytes
    fingerprint: str
    principals: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """The name to log: principals (of signed certificates only) or the key's fingerprint."""
        if self.kind == "key":
            return self.fingerprint
        shown = ",".join(sorted(name if name.isprintable() else ascii(name) for name in self.principals))[:200]
        return f"{shown} ({self.kind}, {self.fingerprint})"
