"""Translation of everything that asyncssh raises into the product's own errors: one table, used by the whole adapter.

Classes are matched, never message texts. A test walks asyncssh for exception classes and fails for one without
a row here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncssh
from asyncssh.asn1 import ASN1DecodeError, ASN1EncodeError, ASN1Error
from asyncssh.config import ConfigParseError
from asyncssh.gss import GSSError  # type: ignore[attr-defined]  # re-exported, which its stubs do not say
from asyncssh.misc import SoftEOFReceived
from asyncssh.packet import PacketDecodeError
from asyncssh.saslprep import SASLPrepError

from educloud_lab.domain.errors import (
    CommandFailedError,
    CommandTimeoutError,
    HostKeyError,
    LoginRefusedError,
    MachineUnreachableError,
    ShellError,
)

_Make = Callable[[BaseException, str], ShellError]


def _unreachable(exc: BaseException, who: str) -> ShellError:
    return MachineUnreachableError(
        f"There is no SSH connection to {who}: {_reason(exc)}.",
        kept="Nothing on the machine was changed by this.",
        next_step="It may still be starting; try again in a moment.",
    )


def _host_key(exc: BaseException, who: str) -> ShellError:
    return HostKeyError(
        f"Another SSH host key than expected was shown where {who} should answer.",
        kept="The connection was refused before anything was sent.",
        next_step="Do not go on by hand; delete the machine or ask the course's staff to look at it.",
    )


def _login(exc: BaseException, who: str) -> ShellError:
    return LoginRefusedError(
        f"The login was refused by {who}.",
        kept="Nothing was changed.",
        next_step="Try again; if it stays so, the clocks may differ or the permission was taken back.",
    )


def _channel(exc: BaseException, who: str) -> ShellError:
    if isinstance(exc, asyncssh.ChannelOpenError) and exc.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return LoginRefusedError(
            f"The way to {who} is not permitted.",
            kept="Nothing was changed.",
            next_step="Try again; if it stays so, the permission was taken back.",
        )
    return _unreachable(exc, who)


def _incompatible(exc: BaseException, who: str) -> ShellError:
    return ShellError(
        f"No secure connection could be agreed with {who}: {_reason(exc)}.",
        kept="Nothing was sent.",
        next_step="Ask the course's staff: the machine's SSH server does not fit.",
    )


def _bad_key(exc: BaseException, who: str) -> ShellError:
    return ShellError(
        f"A key or certificate for {who} could not be read.",
        kept="Nothing was sent.",
        next_step="Start the machine again to get new keys; if it stays so, report it.",
    )


def _command(exc: BaseException, who: str) -> ShellError:
    status = exc.exit_status if isinstance(exc, asyncssh.ProcessError) else None
    return CommandFailedError(f"A command on {who} failed.", exit_status=-1 if status is None else status)


def _command_timeout(exc: BaseException, who: str) -> ShellError:
    return CommandTimeoutError(
        f"A command on {who} did not end in time and was killed.", next_step="Try again when the machine is less busy."
    )


def _other(exc: BaseException, who: str) -> ShellError:
    return ShellError(f"SSH with {who} failed: {_reason(exc)}.", next_step="Try again.")


# Most specific class wins (method resolution order), so the order here does not matter.
TRANSLATIONS: dict[type[BaseException], _Make] = {
    asyncssh.Error: _other,
    asyncssh.DisconnectError: _unreachable,
    asyncssh.CompressionError: _unreachable,
    asyncssh.ConnectionLost: _unreachable,
    asyncssh.HostKeyNotVerifiable: _host_key,
    asyncssh.IllegalUserName: _login,
    asyncssh.KeyExchangeFailed: _incompatible,
    asyncssh.MACError: _unreachable,
    asyncssh.PermissionDenied: _login,
    asyncssh.ProtocolError: _unreachable,
    asyncssh.ProtocolNotSupported: _incompatible,
    asyncssh.ServiceNotAvailable: _unreachable,
    asyncssh.ChannelOpenError: _channel,
    asyncssh.ChannelListenError: _other,
    asyncssh.PasswordChangeRequired: _login,
    # The four below are raised to programs that *serve* SSH; here they would be a surprise.
    asyncssh.BreakReceived: _other,
    asyncssh.SignalReceived: _other,
    SoftEOFReceived: _other,
    asyncssh.TerminalSizeChanged: _other,
    asyncssh.ProcessError: _command,
    asyncssh.TimeoutError: _command_timeout,
    asyncssh.SFTPError: _other,
    asyncssh.SFTPNoConnection: _unreachable,
    asyncssh.SFTPConnectionLost: _unreachable,
    asyncssh.KeyImportError: _bad_key,
    asyncssh.KeyExportError: _bad_key,
    asyncssh.KeyEncryptionError: _bad_key,
    asyncssh.KeyGenerationError: _bad_key,
    ASN1Error: _bad_key,
    ASN1DecodeError: _bad_key,
    ASN1EncodeError: _bad_key,
    GSSError: _login,  # unreachable while GSS is off
    ConfigParseError: _other,  # unreachable while no configuration file is read
    PacketDecodeError: _unreachable,
    SASLPrepError: _login,
    # Not asyncssh's own, but raised through it.
    OSError: _unreachable,
    TimeoutError: _unreachable,
}


def translate(exc: BaseException, who: str) -> ShellError | None:
    """Return our error for one of asyncssh's, or None when it has no row.

    Parameters
    ----------
    exc : what was raised.
    who : the other side, as in "the machine" or "the gateway".
    """
    for kind in type(exc).__mro__:
        make = TRANSLATIONS.get(kind)
        if make is not None:
            error = make(exc, who)
            error.side, error.cause = _where(exc, who)
            return error
    return None


@contextmanager
def translating(who: str) -> Iterator[None]:
    """Raise our errors for asyncssh's inside the block.

    Raises
    ------
    ShellError
        Or the fitting child.
    """
    try:
        yield
    except ShellError:
        raise
    except Exception as exc:
        translated = translate(exc, who)
        if translated is None:
            raise  # a fault of our own must stay visible as one
        raise translated from exc


def _where(exc: BaseException, who: str) -> tuple[str, str]:
    """Return which side it was and how, for the doctor; a gateway's word about a machine's port is ours or sshd's."""
    side = who.rpartition(" ")[2]
    if isinstance(exc, asyncssh.ChannelOpenError):
        if exc.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            return "gateway", "not-permitted"
        refused = "refused" in str(exc.reason).lower()
        return "machine", "refused" if refused else "silent"
    if isinstance(exc, ConnectionRefusedError):
        return side, "refused"
    if isinstance(exc, TimeoutError):
        return side, "silent"
    return side, "lost" if isinstance(exc, (asyncssh.ConnectionLost, OSError)) else ""


def _reason(exc: BaseException) -> str:
    """Say the cause in few words; never text that the other side chose."""
    if isinstance(exc, asyncssh.ConnectionLost):
        return "the connection was lost"
    if isinstance(exc, asyncssh.ChannelOpenError):
        return "the way to it could not be opened"
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, socket.gaierror):
        return "its address is not known"
    if isinstance(exc, OSError):
        return (exc.strerror or type(exc).__name__).lower()
    return type(exc).__name__
