"""Findings about the data volume: in the cloud, on its way to the machine, and as a file system there."""

from __future__ import annotations

from typing import Final

from educloud_lab.broker.diagnosis.entries import Entry
from educloud_lab.domain.finding import Component

_SAFE = "It was left exactly as it is: nothing is made, changed or repaired without a person."
_LOOK = "Show this to your instructor before anything else is tried."
_C = Component

VOLUME: Final[tuple[Entry, ...]] = (
    Entry(
        code="volume-creating",
        component=_C.SC,
        what="The data volume is being made, and it takes long.",
        by_itself="It is waited for; no second one is made.",
        student="Wait.",
        administrator="Look at the storage controller: making the volume is slow or stands.",
        hidden="How far it is, is not shown.",
    ),
    Entry(
        code="volume-failed",
        component=_C.SC,
        what="The cloud could not make or keep the data volume.",
        by_itself="A volume that never held anything is replaced at the next Start; one with files never is.",
        student="Press Start once. If it says again that the volume failed, tell your instructor.",
        administrator="Look at the storage controller: its pool may be full or its backend down. The volume may still"
        " hold files: keep it.",
    ),
    Entry(
        code="volume-lost",
        component=_C.SC,
        what="The cloud no longer lists the data volume, or lists it as deleted.",
        by_itself="Nothing was made in its place.",
        student=_LOOK + " Bin and snapshots may still have it.",
        instructor="Look into bin and quarantine of the course and at the snapshots, and ask the administrator.",
        administrator="See when the volume went and whether the storage controller still has its data.",
    ),
    Entry(
        code="volume-unavailable",
        component=_C.SC,
        what="The cloud does not let the data volume be used now.",
        by_itself="It is waited for.",
        student="Wait; then press Start again.",
        administrator="See in the storage controller why the volume is unavailable.",
    ),
    Entry(
        code="volume-elsewhere",
        component=_C.UNKNOWN,
        what="The data volume is attached to another instance.",
        by_itself="It is waited for until it is free; it is never taken away from another machine.",
        student="If you attached it by hand, shut that machine down in order. Else tell your instructor.",
        instructor="Find out whose instance has it, and have it unmounted there before it is detached.",
        administrator="See which client attached it.",
    ),
    Entry(
        code="other-zone",
        component=_C.CLC,
        what="Machine and data volume are in different zones, so they cannot be joined.",
        by_itself="Nothing was attached.",
        student="Delete machine and then Start: the new machine is made in the volume's zone. The volume stays.",
        administrator="See why the instance was placed in another zone than was asked for.",
    ),
    Entry(
        code="attach-dropped",
        component=_C.NC,
        what="The cloud takes the wish to attach the data volume, and drops it without a word.",
        by_itself="It is asked for again a few times; the volume is unharmed.",
        student="Wait; Stop and Start often help, since the next machine may run on another node.",
        administrator="The node cannot log in to the storage controller for this volume (iSCSI or RBD): see nc.log.",
        hidden="Eucalyptus reports a failed attachment nowhere: the volume is simply available again.",
    ),
    Entry(
        code="attach-sticks",
        component=_C.NC,
        what="The cloud is attaching the data volume, and does not come to an end.",
        by_itself="It is waited for; the volume is unharmed.",
        student="Wait; then press Stop and Start.",
        administrator="See on the node whether the storage controller answers for this volume.",
        hidden="How far the attachment is, is not shown.",
    ),
    Entry(
        code="detach-sticks",
        component=_C.NC,
        what="The cloud is detaching the data volume, and does not come to an end.",
        by_itself="It is unmounted already. The machine is shut down in order if the cloud does not let go of it.",
        student="Wait. Your files are written and safe.",
        administrator="The guest did not release the disk, or the node does not answer: see nc.log.",
    ),
    Entry(
        code="disk-not-seen",
        component=_C.NC,
        what="The cloud says that the data volume is attached, but the machine does not see the disk.",
        by_itself="It is looked for again a few times.",
        student="Press Stop and then Start.",
        instructor="See whether the image has a driver for disks that are added while it runs (virtio, acpiphp).",
        administrator="See on the node whether the disk was added to the machine.",
    ),
    Entry(
        code="volume-not-blank",
        component=_C.UNKNOWN,
        what="The data volume is new to us and is not empty, so it is not taken into use.",
        by_itself=_SAFE,
        student=_LOOK,
        instructor="Find out what is on it, reading only. Nothing that we do will overwrite it.",
        administrator="See whether the volume was made from a snapshot or used before.",
    ),
    Entry(
        code="volume-exchanged",
        component=_C.SC,
        what="The disk is not the one that we know: its size or its file system differ from our record.",
        by_itself=_SAFE,
        student=_LOOK,
        instructor="Compare volume id and file system UUID with the record; do not mount it by hand.",
        administrator="See whether the volume was restored, exchanged or resized behind its id.",
    ),
    Entry(
        code="volume-unreadable",
        component=_C.SC,
        what="The data volume cannot be read, so nobody can say what is on it.",
        by_itself=_SAFE,
        student="Press Stop and then Start once; then tell your instructor.",
        administrator="See whether the storage controller has read errors for this volume, or lost its path.",
    ),
    Entry(
        code="file-system-dirty",
        component=_C.MACHINE,
        what="The file system of the data volume was not closed in order, and needs a person's eyes.",
        by_itself=_SAFE + " What a file system's journal mends by itself was tried.",
        student=_LOOK,
        instructor="Take a snapshot of the volume first; then let somebody who knows file systems look at it.",
        administrator="See whether the node or the storage controller failed while the volume was in use.",
    ),
    Entry(
        code="mount-refused",
        component=_C.MACHINE,
        what="The machine does not mount the data volume at its place.",
        by_itself="It was not changed.",
        student="Press Stop and then Start. The console log may say why.",
        instructor="See whether something else is mounted there, or the image lacks the file system's driver.",
        administrator="Nothing: this is inside the machine.",
    ),
    Entry(
        code="volume-busy",
        component=_C.MACHINE,
        what="Programs still use the data volume, so it is neither unmounted nor detached.",
        by_itself="It stays mounted and the machine runs on: files are safe.",
        student="End the programs that are named, then press Stop again.",
        instructor="Help to find the program: it has a file open, or its folder is on the volume.",
        administrator="Nothing: this is inside the machine.",
    ),
)
