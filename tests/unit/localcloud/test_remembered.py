"""A cloud keeps the profile that it was made with."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.hypervisor.simulated import SimulatedHypervisor
from educloud_lab.localcloud.remembered import ProfileChangedError, choose_profile, remembered_profile
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings
from educloud_lab.localcloud.state.database import Database
from educloud_lab.localcloud.state.tables import Meta


def cloud(home, profile=None):
    settings = Settings(Folders(home), hypervisor="simulated", profile=profile)
    return LocalCloud(settings, hypervisor=SimulatedHypervisor(keep=home / "machines.json"))


async def test_a_new_cloud_takes_the_profile_asked_for_and_keeps_it(tmp_path):
    state = Folders(tmp_path).state
    assert remembered_profile(state) is None
    first = cloud(tmp_path, "aws")
    await first.open(supervise=False)
    await first.close()
    assert remembered_profile(state) == "aws"
    again = cloud(tmp_path)
    assert again.cloud.model.profile == "aws"
    with pytest.raises(
        ProfileChangedError, match=r"profile aws, and eucalyptus-4\.4 was asked for.*educloud cloud reset"
    ):
        cloud(tmp_path, "eucalyptus-4.4")
    assert remembered_profile(state) == "aws"


async def test_a_cloud_of_version_1_is_eucalyptus_6(tmp_path):
    first = cloud(tmp_path)
    await first.open(supervise=False)
    await first.close()
    database = Database(Folders(tmp_path).state)
    await database.open()
    await database.run(lambda session: session.delete(session.get(Meta, "profile")))
    await database.close()
    assert remembered_profile(Folders(tmp_path).state) == "eucalyptus-6"
    with pytest.raises(ProfileChangedError):
        choose_profile(Folders(tmp_path).state, "aws")


def test_a_profile_that_does_not_exist(tmp_path):
    with pytest.raises(LocalCloudError, match=r"Take one of eucalyptus-6, eucalyptus-4\.4, aws"):
        choose_profile(tmp_path / "absent", "azure")


def test_a_file_that_is_no_state_is_left_to_those_who_open_it(tmp_path):
    (tmp_path / "cloud.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 30)
    assert remembered_profile(tmp_path / "cloud.sqlite") is None
