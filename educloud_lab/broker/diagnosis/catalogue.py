"""Every finding that the doctor can make, by its code. The reference in the documentation lists the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from educloud_lab.broker.diagnosis.catalogue_cloud import CLOUD
from educloud_lab.broker.diagnosis.catalogue_machine import MACHINE
from educloud_lab.broker.diagnosis.catalogue_volume import VOLUME
from educloud_lab.broker.diagnosis.entries import Entry
from educloud_lab.domain.finding import Component

CATALOGUE: Final[Mapping[str, Entry]] = {entry.code: entry for entry in (*CLOUD, *MACHINE, *VOLUME)}

COMPONENT_NAMES: Final[Mapping[Component, str]] = {
    Component.CLC: "cloud controller",
    Component.CC: "cluster controller of the zone",
    Component.NC: "node controller: the host that runs the machine",
    Component.SC: "storage controller",
    Component.WALRUS: "object store, where images live",
    Component.IMAGE: "image",
    Component.NETWORK: "network",
    Component.MACHINE: "inside the machine",
    Component.BROKER: "this program",
    Component.UNKNOWN: "none in particular",
}
