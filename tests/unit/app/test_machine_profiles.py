"""Profiles from files: good ones are read, bad ones are named by file and field and hide nobody."""

import pytest

from educloud_lab.app.machine_profiles import SHIPPED, load_profiles, read_profile
from educloud_lab.broker import profiles
from educloud_lab.domain import naming
from educloud_lab.domain.errors import ProfileError

GOOD = """
title = "Two disks"
revision = 3
image = "tiny"
instance_type = "m1.small"
time_limit_h = 1.5

[volume]
size_gib = 2
mount_point = "/data"
"""


def put(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_the_shipped_profiles_are_good():
    found = load_profiles(SHIPPED.parent / "absent")
    assert found.problems == ()
    assert [(p.name, p.image, p.instance_type, p.login_user, p.time_limit_s) for p in found.profiles] == [
        ("debian", "debian", "t2.small", "student", 7200),
        ("tiny", "tiny", "t2.micro", "student", 7200),
        ("tiny-store", "tiny-store", "t2.micro", "student", 7200),
        ("tiny-web", "tiny", "t2.micro", "student", 7200),
    ]
    assert {p.name: p.ports for p in found.profiles if p.ports} == {"tiny-web": (80,)}
    for profile in found.profiles:
        assert profile.volume is not None
        assert (profile.volume.size_gib, profile.volume.mount_point) == (1, "/data")


def test_one_file(tmp_path):
    profile = read_profile(put(tmp_path, "two-disks.toml", GOOD))
    assert (profile.name, profile.revision, profile.time_limit_s) == ("two-disks", 3, 5400)
    assert len(profile.sha256) == 64
    other = read_profile(put(tmp_path, "other.toml", GOOD + "# changed\n"))
    assert other.sha256 != profile.sha256


def test_limits_are_minutes_in_the_file_and_warnings_have_an_order(tmp_path):
    plain = read_profile(put(tmp_path, "plain.toml", GOOD))
    assert (plain.idle_limit_s, plain.first_connection_limit_s, plain.warn_before_s) == (0, 0, (900, 300, 60))
    more = "1.5\nidle_limit_min = 45\nfirst_connection_limit_min = 0.5\nwarn_before_min = [2, 10.5, 2]"
    profile = read_profile(put(tmp_path, "more.toml", GOOD.replace("1.5", more)))
    assert (profile.idle_limit_s, profile.first_connection_limit_s, profile.warn_before_s) == (2700, 30, (630, 120))
    silent = read_profile(put(tmp_path, "silent.toml", GOOD.replace("1.5", "1.5\nwarn_before_min = []")))
    assert silent.warn_before_s == ()


def test_a_file_without_a_volume(tmp_path):
    assert read_profile(put(tmp_path, "x.toml", GOOD.partition("[volume]")[0])).volume is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("revision = 3", ""), "revision: it is missing"),
        (("revision = 3", "revision = 0"), "revision: input should be greater than or equal to 1 (it is 0)"),
        (("revision = 3", 'revision = "3"'), "revision: input should be a valid integer (it is '3')"),
        (("title =", "titel ="), "titel: there is no such field"),
        (("size_gib = 2", "size_gib = 0"), "volume.size_gib: input should be greater than or equal to 1"),
        (("size_gib = 2", "size = 2"), "volume.size: there is no such field"),
        (('"/data"', '"data"'), "volume.mount_point"),
        (('"/data"', '"/data/../etc"'), "volume.mount_point"),
        (('"/data"', '"/da ta"'), "volume.mount_point"),
        (("1.5", "0"), "time_limit_h: input should be greater than 0"),
        (("1.5", "nan"), "time_limit_h"),
        (("1.5", "1e9"), "time_limit_h: input should be less than or equal to 720"),
        (("1.5", "1.5\nidle_limit_min = 91"), "idle_limit_min: at most time_limit_h, which is 90 minutes (it is 91)"),
        (("1.5", "1.5\nidle_limit_min = -1"), "idle_limit_min: input should be greater than or equal to 0"),
        (("1.5", "1.5\nfirst_connection_limit_min = 1e9"), "first_connection_limit_min: at most time_limit_h"),
        (("1.5", "1.5\nwarn_before_min = 5"), "warn_before_min: input should be a valid list"),
        (("1.5", "1.5\nwarn_before_min = [0]"), "warn_before_min.0: input should be greater than 0"),
        (("m1.small", "big"), "instance_type"),
        (("[volume]", 'login_user = "root; rm"\n[volume]'), "login_user"),
        (("title", "= title"), "it is not TOML"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(tmp_path, change, told):
    path = put(tmp_path, "mine.toml", GOOD.replace(*change))
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    assert told in caught.value.what
    assert str(path) in caught.value.what
    assert caught.value.next_step


def test_odd_files(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    put(tmp_path, "Big Name.toml", GOOD)
    put(tmp_path, "huge.toml", "#" * 70_000)
    (tmp_path / "folder.toml").mkdir()
    put(tmp_path, "notes.txt", "not a profile")
    found = load_profiles(tmp_path)
    assert {p.name for p in found.profiles} == {"debian", "tiny", "tiny-store", "tiny-web"}
    assert [problem.what.split("'")[1] for problem in found.problems] == ["Big Name", "bytes", "folder", "huge"]


def test_a_bad_file_hides_nobody_and_its_own_name_is_told_on_use(tmp_path):
    put(tmp_path, "good.toml", GOOD)
    put(tmp_path, "bad.toml", "title = 3")
    found = load_profiles(tmp_path)
    assert {p.name for p in found.profiles} == {"debian", "good", "tiny", "tiny-store", "tiny-web"}
    with pytest.raises(ProfileError, match=r"bad\.toml"):
        profiles.find(found.profiles, found.problems, "bad")
    for profile in found.profiles:
        assert profiles.find(found.profiles, found.problems, profile.name) is profile
        assert naming.is_mount_point(profile.volume.mount_point)


def test_ones_own_file_replaces_the_shipped_one(tmp_path):
    put(tmp_path, "tiny.toml", GOOD)
    (tiny,) = [p for p in load_profiles(tmp_path).profiles if p.name == "tiny"]
    assert tiny.title == "Two disks"


def test_a_session_longer_than_the_deployment_allows(tmp_path):
    put(tmp_path, "long.toml", GOOD.replace("1.5", "48"))
    found = load_profiles(tmp_path, longest_s=12 * 3600)
    (problem,) = found.problems
    assert "time_limit_h: at most 12 here" in problem.what
