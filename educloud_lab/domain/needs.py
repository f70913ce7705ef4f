"""What a lab's notebook needs (``metadata.educloud``), read from whatever stands there.

Nothing that stands in a notebook raises here: what cannot be used is a :class:`Remark`. What there is of it here is
judged in :mod:`educloud_lab.domain.needs_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

LONGEST_NAME: Final = 64
MOST_MINUTES: Final = 10080
MOST_GIB: Final = 1024
MOST_VOLUMES: Final = 4
MOST_PORTS: Final = 16

_MOUNT_POINT = re.compile(r"/[A-Za-z0-9][A-Za-z0-9_./-]{0,98}")
_SHOWN: Final = 60  # characters of a wrong value that are told
T = TypeVar("T")


class Weight(StrEnum):
    """What a remark means for a Start."""

    REFUSAL = "refusal"  # it cannot work: no machine is offered
    WARNING = "warning"  # something of the lab will not work, or is not as its author meant it
    NOTE = "note"  # good to know


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that is not as the lab needs it: what, and what to do.

    Parameters
    ----------
    field : of the metadata, e.g. ``ports`` or ``volumes.0.size_gib``; '' for the whole.
    """

    code: str
    weight: Weight
    field: str
    what: str
    next_step: str


@dataclass(frozen=True, slots=True)
class VolumeNeed:
    """A data volume that the lab counts on."""

    mount_point: str = "/data"
    size_gib: int = 1


@dataclass(frozen=True, slots=True)
class Needs:
    """What could be read of ``metadata.educloud``; a field that was wrong has its default."""

    lab: str
    machine_profile: str
    course: str = ""
    revision: int | None = None
    slot: str = "main"
    volumes: tuple[VolumeNeed, ...] = ()
    ports: tuple[int, ...] = ()
    minutes: int | None = None
    show_calls: bool = False


FIELDS: Final = ("course", "lab", "machine_profile", "revision", "slot", "volumes", "ports", "minutes", "show_calls")


def read(data: object) -> tuple[Needs | None, list[Remark]]:
    """Return what ``metadata.educloud`` says, and what is wrong with it.

    None when it does not name lab and machine profile: nothing can be offered then. Other fields that are wrong are
    told and left out.
    """
    if not isinstance(data, Mapping):
        return None, [
            Remark(
                "not-a-table",
                Weight.REFUSAL,
                "",
                f"The notebook's metadata 'educloud' is {_kind(data)}, not a table of fields.",
                "Its author can set it in the property inspector (the gears on the right), under 'Lab machine'.",
            )
        ]
    reader = _Reader(data)
    lab = reader.take("lab", "", _name, "a name of 1 to 64 characters", needed=True)
    profile = reader.take("machine_profile", "", _name, "the name of a machine profile", needed=True)
    needs = Needs(
        lab=lab,
        machine_profile=profile,
        course=reader.take("course", "", _course, "a name of at most 64 characters"),
        revision=reader.take("revision", None, _number(1, 10**9), "a whole number from 1"),
        slot=reader.take("slot", "main", _name, "a name of 1 to 64 characters"),
        volumes=reader.volumes(),
        ports=reader.ports(),
        minutes=reader.take("minutes", None, _number(1, MOST_MINUTES), f"a whole number from 1 to {MOST_MINUTES}"),
        show_calls=reader.take("show_calls", False, _yes_no, "true or false"),
    )
    for field in data:
        if field not in FIELDS:
            reader.remarks.append(
                Remark(
                    "unknown-field",
                    Weight.WARNING,
                    str(field)[:_SHOWN],
                    f"The notebook's metadata has a field '{str(field)[:_SHOWN]}', which is not known here.",
                    f"It is left out. Known are {', '.join(FIELDS)}; a newer educloud-lab may know more.",
                )
            )
    return (needs if lab and profile else None), reader.remarks


class _Reader:
    """Takes fields from a table, and remembers what was wrong with them."""

    def __init__(self, data: Mapping[object, object]) -> None:
        self._data = data
        self.remarks: list[Remark] = []

    def take(
        self, field: str, default: T, convert: Callable[[object], T | None], wanted: str, *, needed: bool = False
    ) -> T:
        value = self._data.get(field)
        if value is None or (value == "" and not needed):
            if needed:
                self._wrong(field, f"The notebook's metadata does not name its {field.replace('_', ' ')}.", needed)
            return default
        found = convert(value)
        if found is None:
            self._wrong(field, f"The notebook's '{field}' must be {wanted}; it is {_shown(value)}.", needed)
            return default
        return found

    def _wrong(self, field: str, what: str, needed: bool) -> None:
        step = "" if needed else "It is left out. "
        step += "Its author can correct it in the property inspector, under 'Lab machine'."
        code = "field-needed" if needed else "wrong-field"
        self.remarks.append(Remark(code, Weight.REFUSAL if needed else Weight.WARNING, field, what, step))

    def _list(self, field: str, most: int) -> list[object]:
        value = self._data.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong(field, f"The notebook's '{field}' must be a list; it is {_shown(value)}.", needed=False)
            return []
        if len(value) > most:
            what = f"The notebook's '{field}' has {len(value)} entries; at most {most} are read."
            self._wrong(field, what, needed=False)
        return value[:most]

    def ports(self) -> tuple[int, ...]:
        found: list[int] = []
        for index, value in enumerate(self._list("ports", MOST_PORTS)):
            port = _number(1, 65535)(value)
            if port is None:
                what = f"A port must be a whole number from 1 to 65535; one of the notebook's is {_shown(value)}."
                self._wrong(f"ports.{index}", what, needed=False)
            elif port not in found:
                found.append(port)
        return tuple(found)

    def volumes(self) -> tuple[VolumeNeed, ...]:
        found: list[VolumeNeed] = []
        for index, value in enumerate(self._list("volumes", MOST_VOLUMES)):
            field = f"volumes.{index}"
            if not isinstance(value, Mapping):
                what = f"A volume needs mount_point and size_gib; one of the notebook's is {_shown(value)}."
                self._wrong(field, what, needed=False)
                continue
            place = _mount_point(value.get("mount_point", "/data"))
            size = _number(1, MOST_GIB)(value.get("size_gib", 1))
            if place is None:
                what = f"A mount point is an absolute path such as /data; it is {_shown(value.get('mount_point'))}."
                self._wrong(f"{field}.mount_point", what, needed=False)
            if size is None:
                what = (
                    f"The size of a volume is a whole number of GiB to {MOST_GIB}; it is {_shown(value['size_gib'])}."
                )
                self._wrong(f"{field}.size_gib", what, needed=False)
            unknown = sorted(str(key)[:_SHOWN] for key in value if key not in ("mount_point", "size_gib"))
            if unknown:
                what = f"A volume has mount_point and size_gib; the notebook's has also {', '.join(unknown)}."
                self._wrong(field, what, needed=False)
            if place is not None:
                found.append(VolumeNeed(place, size if size is not None else 1))
        return tuple(found)


def _name(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= LONGEST_NAME and text.isprintable() else None


def _course(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and len(value.strip()) <= LONGEST_NAME else None


def _number(least: int, most: int) -> Callable[[object], int | None]:
    def convert(value: object) -> int | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # an editor of JSON may write 3.0
        whole = isinstance(value, int) and not isinstance(value, bool)
        return value if whole and least <= value <= most else None  # type: ignore[operator,return-value] # whole says so

    return convert


def _yes_no(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _mount_point(value: object) -> str | None:
    good = isinstance(value, str) and _MOUNT_POINT.fullmatch(value) and ".." not in value.split("/")
    return value.rstrip("/") if good and isinstance(value, str) else None


def _kind(value: object) -> str:
    kinds = {str: "a text", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), "empty")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
