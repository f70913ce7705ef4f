"""Findings about what runs inside the machine and about the way to it."""

from __future__ import annotations

from typing import Final

from educloud_lab.broker.diagnosis.entries import Entry
from educloud_lab.domain.finding import Component

_RETRY = "Connecting is tried again until the limit; your data volume is not touched."
_FRESH = "Delete machine and then Start make a new system disk; the data volume stays."
_SAYS = "The console log is all that a machine without SSH tells."
_C = Component

MACHINE: Final[tuple[Entry, ...]] = (
    Entry(
        code="running-no-address",
        component=_C.NETWORK,
        what="The machine runs, but the cloud reports no address for it.",
        by_itself="It is waited for: the address appears as soon as the network reports it.",
        student="Wait; Stop and Start may help.",
        administrator="See whether eucanetd on the node and the DHCP server serve this instance.",
        hidden="Whether the machine has an address inside shows on its console only.",
    ),
    Entry(
        code="no-root-disk",
        component=_C.IMAGE,
        what="The machine's kernel started but finds no system disk: most often the image was registered without its"
        " ramdisk.",
        by_itself="Connecting is tried until the limit; a machine that stands there does no harm.",
        student="Tell your instructor: another Start ends in the same way until the image is mended.",
        instructor="Register the image with its kernel and ramdisk; then Delete machine and Start.",
        administrator="Compare the image's registration (kernel, ramdisk, root device) with one that boots.",
        hidden=_SAYS,
    ),
    Entry(
        code="kernel-panic",
        component=_C.MACHINE,
        what="The machine's kernel stopped.",
        by_itself=_RETRY,
        student="Press Stop and then Start. " + _FRESH,
        instructor="See whether the instance type has too little memory for the image.",
        administrator="The console's last lines say why; see whether other machines on the node stopped as well.",
        hidden=_SAYS,
    ),
    Entry(
        code="no-boot",
        component=_C.IMAGE,
        what="The machine runs, but nothing boots in it: its image is for another processor, or cannot be started.",
        by_itself=_RETRY,
        student="Tell your instructor: another Start ends in the same way.",
        instructor="Compare the image with one that boots: architecture, virtualisation, boot loader, serial console.",
        administrator="See how image, kernel and ramdisk were registered.",
        hidden="An image that never writes to its serial console looks the same from here.",
    ),
    Entry(
        code="emergency-mode",
        component=_C.MACHINE,
        what="The machine's system stopped at a prompt for its administrator: a disk that it wants is missing or needs"
        " a person's eyes.",
        by_itself=_RETRY,
        student="Tell your instructor. " + _FRESH,
        instructor="The console's lines before the prompt name the disk or the service.",
        administrator="Nothing, unless the disk that is named is one of the cloud's.",
        hidden=_SAYS,
    ),
    Entry(
        code="dhcp-failed",
        component=_C.NETWORK,
        what="The machine booted but got no network address from inside.",
        by_itself=_RETRY,
        student="Press Stop and then Start.",
        administrator="See whether the DHCP server and eucanetd on its node serve this machine.",
        hidden="The cloud shows the address that it meant to give, whether or not the machine got it.",
    ),
    Entry(
        code="metadata-silent",
        component=_C.NETWORK,
        what="The machine booted but the cloud's metadata service did not answer it, so it does not know whom to let"
        " in.",
        by_itself=_RETRY,
        student="Delete machine and then Start: user data is read at a machine's first start only. The data volume"
        " stays.",
        administrator="See whether 169.254.169.254 is served to machines on its node.",
        hidden=_SAYS,
    ),
    Entry(
        code="user-data-failed",
        component=_C.IMAGE,
        what="The machine booted, but could not run what tells it whom to let in.",
        by_itself=_RETRY,
        student="Tell your instructor. " + _FRESH,
        instructor="The image must run user data that begins with #! as root, once.",
        administrator="Nothing: this is in the image.",
        hidden=_SAYS,
    ),
    Entry(
        code="sshd-down",
        component=_C.MACHINE,
        what="The machine booted, but its SSH server does not run.",
        by_itself=_RETRY,
        student="Press Stop and then Start. " + _FRESH,
        instructor="See whether the image starts sshd by itself and its configuration is right (sshd -t).",
        administrator="Nothing: this is inside the machine.",
        hidden=_SAYS,
    ),
    Entry(
        code="boots-slowly",
        component=_C.MACHINE,
        what="The machine is booting, more slowly than usual.",
        by_itself=_RETRY,
        student="Wait. Nothing is wrong so far.",
        instructor="When whole classes boot slowly, the nodes or their disks are busy: stagger the start.",
        administrator="See how busy its node and the storage controller are.",
        hidden="How busy the node is, is shown to administrators only.",
    ),
    Entry(
        code="port-closed",
        component=_C.NETWORK,
        what="The machine's security group lets nobody in at the SSH port.",
        by_itself="The next Start by a server that is started anew puts the rule back.",
        student="Tell your instructor.",
        instructor="Put the rule back: TCP port 22 from the front end, in the group that is named educloud-...",
        administrator="See who took the rule out of the group.",
    ),
    Entry(
        code="way-blocked",
        component=_C.NETWORK,
        what="The machine has booted and its SSH server listens, but nothing gets through to it from here.",
        by_itself=_RETRY,
        student="Wait a little; Stop and Start may help.",
        instructor="See whether the front end reaches other machines.",
        administrator="See whether eucanetd on its node has set up this instance's rules and routes.",
        hidden="How far packets get is not shown.",
    ),
    Entry(
        code="gateway-silent",
        component=_C.NETWORK,
        what="The front end through which machines are reached does not answer.",
        by_itself=_RETRY,
        student="Wait. On your own computer: educloud cloud start.",
        instructor="See whether educloud gateway runs on the front end.",
        administrator="See whether the front-end host is up and its SSH port is open to us.",
    ),
    Entry(
        code="gateway-refuses",
        component=_C.NETWORK,
        what="The front end does not let us through to the machine.",
        by_itself="Its lines are set again at every start; connecting is tried again for a while.",
        student="Press Stop and then Start.",
        instructor="See whether the front end still trusts this server's authority (its trusted CA keys).",
        administrator="See whether the front end may reach the machines' network.",
    ),
    Entry(
        code="host-key-changed",
        component=_C.MACHINE,
        what="Something answers at the machine's address with another host key than it must have.",
        by_itself="Nothing was sent to it, and nobody is let through.",
        student="Do not go on by hand. If nobody reinstalled the machine, tell your instructor.",
        instructor="Find out whether the machine was reinstalled; else another machine has its address.",
        administrator="See which instance holds this address.",
    ),
    Entry(
        code="login-refused",
        component=_C.MACHINE,
        what="The machine answers, but does not accept our certificate.",
        by_itself="It is tried again for a while: a machine corrects its clock by itself.",
        student="Press Stop and then Start. " + _FRESH,
        instructor="See whether somebody changed sshd's configuration on the machine (TrustedUserCAKeys).",
        administrator="Nothing: this is inside the machine.",
        hidden="A machine does not say over SSH why it refuses a login.",
    ),
    Entry(
        code="guest-clock-wrong",
        component=_C.MACHINE,
        what="The machine's clock is wrong, so our certificates (ten minutes long) are not valid there.",
        by_itself="It is tried again for a while: our images correct their clock every ten seconds.",
        student="Press Stop and then Start: a machine takes its time from the cloud when it starts.",
        instructor="The image should keep time by its hardware clock or by NTP.",
        administrator="Compare the clock of its node with a time server.",
    ),
    Entry(
        code="no-answer",
        component=_C.MACHINE,
        what="The machine runs, but does not answer, and its console does not say why.",
        by_itself=_RETRY,
        student="Wait; then press Stop and Start. " + _FRESH,
        instructor="Look at the console log.",
        administrator="See on its node whether the machine uses its processor at all.",
        hidden=_SAYS,
    ),
)
