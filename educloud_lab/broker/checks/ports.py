"""Checks of ports: through the gateway where it leads there, on the machine itself where it does not."""

from __future__ import annotations

from typing import Final

from educloud_lab.broker.checks.outcome import Outcome, judges, shown
from educloud_lab.broker.checks.scene import Scene, decoded
from educloud_lab.broker.scripts import checking
from educloud_lab.domain.check_forms import Place
from educloud_lab.domain.checks import Assertion
from educloud_lab.ports.shell import Knocked, Way

_LOOPBACK: Final = "127.0.0.1"
_LIMIT_S: Final = "5"
_START = "Start the program that should listen there, on all addresses (0.0.0.0), and look at its messages."
_END = "End the program that listens there."
_WORDS: Final = {
    "refused": "nothing listens there",
    "silent": "no answer within 5 s",
    "unresolved": "the name is not known",
}


async def _on_the_machine(scene: Scene, host: str, port: str, *, ask: bool) -> dict[str, str]:
    arguments = (host, port, _LIMIT_S, "ask" if ask else "quiet")
    return await scene.ask("check-port", checking.PORT, checking.PORT_FORMS, *arguments, timeout_s=14.0)


@judges("port-answers", "port-answers-with")
async def port_answers(scene: Scene, said: Assertion) -> Outcome:
    """First from outside, as people come in; then on the machine, which also says what is wrong."""
    port, text = said.values["port"], said.values.get("text")
    knocked = await _knock(scene, int(port), ask=text is not None)
    if knocked is not None and knocked.way is Way.OPEN:
        return _heard(f"Port {port} answers through the gateway", knocked.heard.decode(errors="replace"), text, None)
    if knocked is not None and knocked.way is Way.CLOSED:
        return Outcome(
            False,
            f"The machine's security groups do not let anybody in to port {port}.",
            f"Add a rule for TCP port {port} to the security group.",
        )
    if knocked is not None and knocked.way is Way.SILENT:
        return Outcome(
            False,
            f"Port {port} gives no answer from outside.",
            f"Does the security group let TCP port {port} in, and no firewall on the machine keep it out?",
        )
    scene.running()
    address = scene.lease.address or _LOOPBACK
    answer = await _on_the_machine(scene, address, port, ask=text is not None)
    if answer["state"] == "open" and knocked is not None:
        return Outcome(
            False,
            f"Port {port} answers on the machine itself, and refuses whoever comes from outside.",
            "Look for a firewall on the machine that keeps the gateway out; or check again.",
        )
    if answer["state"] == "open":
        return _heard(f"Port {port} answers on the machine", decoded(answer["text"]), text, Place.MACHINE)
    return await _inside(scene, port, answer, text)


async def _knock(scene: Scene, port: int, *, ask: bool) -> Knocked | None:
    """Return how it looks from outside; None where the gateway has no way there, so that only the machine can tell.

    A gateway that cannot be asked leaves it open: what the machine says of itself would be less than was asked for.
    """
    request = f"GET / HTTP/1.0\r\nHost: {scene.lease.address}\r\n\r\n".encode() if ask else b""
    knocked = await scene.knock(port, ask=request)
    return knocked if knocked is not None and knocked.way is not Way.NONE else None


async def _inside(scene: Scene, port: str, answer: dict[str, str], text: str | None) -> Outcome:
    """Tell a program that listens on the loopback only from none at all."""
    if answer["state"] == "unknown":
        return Outcome(None, "The machine has no program to try it with (bash, python3 or nc).", "Install one of them.")
    local = await _on_the_machine(scene, _LOOPBACK, port, ask=text is not None)
    if local["state"] == "open":
        if answer["own"] == "yes":
            return Outcome(
                False,
                f"Port {port} answers at 127.0.0.1 only, where nobody else reaches it.",
                "Let the program listen on all addresses (0.0.0.0).",
                place=Place.MACHINE,
            )
        return _heard(f"Port {port} answers on the machine", decoded(local["text"]), text, Place.MACHINE)
    why = _WORDS.get(local["state"], local["state"])
    return Outcome(False, f"Port {port}: {why}.", _START, place=Place.MACHINE)


def _heard(where: str, said: str, text: str | None, place: Place | None) -> Outcome:
    if text is None:
        return Outcome(True, f"{where}.", undo=_END, place=place)
    if text in said:
        return Outcome(True, f"{where}, and the text is in what it says.", place=place)
    beginning = shown(_body(said), 120)
    what = f"what it says begins with: {beginning}" if beginning else "it says nothing"
    return Outcome(False, f"{where}, but the text is not in it; {what}", "Change what it serves.", place=place)


def _body(said: str) -> str:
    """Return what comes after the head of an HTTP answer; of anything else, all."""
    head, gap, body = said.replace("\r\n", "\n").partition("\n\n")
    if not (gap and head.startswith("HTTP/")):
        return said
    return f"{head.splitlines()[0]}: {body}"


@judges("port-of-host-answers", "port-of-host-answers-with")
async def port_of_host_answers(scene: Scene, said: Assertion) -> Outcome:
    """A connection that the machine makes."""
    host, port, text = said.values["host"], said.values["port"], said.values.get("text")
    answer = await _on_the_machine(scene, host, port, ask=text is not None)
    where = f"Port {port} of {host} answers"
    if answer["state"] == "open":
        return _heard(where, decoded(answer["text"]), text, None)
    if answer["state"] == "unknown":
        return Outcome(None, "The machine has no program to try it with (bash, python3 or nc).", "Install one of them.")
    return Outcome(
        False,
        f"{where.replace(' answers', '')}: {_WORDS[answer['state']]}.",
        "Is the other machine ready, does a program listen there, and does its security group let your machine in?",
    )


@judges("host-answers")
async def host_answers(scene: Scene, said: Assertion) -> Outcome:
    """A ping that the machine sends."""
    host = said.values["host"]
    answer = await scene.ask("check-ping", checking.PING, checking.PING_FORMS, host, "3", timeout_s=12.0)
    state = answer["state"]
    if state == "unknown":
        return Outcome(None, "The machine has no ping.", f"Check a port instead: port 22 of {host} answers \u2026")
    seen = {"answers": f"{host} answers.", "unresolved": f"{host}: the name is not known."}
    return Outcome(
        state == "answers",
        seen.get(state, f"{host} answers no ping."),
        "Is the other machine ready, and does its security group let ping (ICMP) in?",
    )
