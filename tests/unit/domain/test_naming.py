"""Tokens, principals and serials: the same words give the same name, other words another."""

from hypothesis import given
from hypothesis import strategies as st

from educloud_lab.domain.lease import LeaseKey
from educloud_lab.domain.naming import TOKEN_LENGTH, TOKEN_PREFIX, client_token, disk_serial, is_mount_point, tag_value

WORD = st.text(max_size=20)
KEYS = st.builds(LeaseKey, course=WORD, lab=WORD, person=WORD, slot=WORD)


@given(WORD, KEYS, st.integers(0, 10**6))
def test_a_token_is_the_same_each_time_and_fits(deployment, key, generation):
    token = client_token(deployment, key, generation)
    assert token == client_token(deployment, key, generation)
    assert len(token) <= TOKEN_LENGTH
    assert token.startswith(TOKEN_PREFIX)
    assert token.isascii()


@given(WORD, KEYS, KEYS, st.integers(1, 9), st.integers(1, 9))
def test_another_key_or_generation_gives_another_token(deployment, one, two, first, second):
    same = (one, first) == (two, second)
    assert (client_token(deployment, one, first) == client_token(deployment, two, second)) == same


def test_words_do_not_run_together():
    one, two = LeaseKey("a", "bc", "d", "e"), LeaseKey("ab", "c", "d", "e")
    assert client_token("x", one, 1) != client_token("x", two, 1)


def test_a_serial_is_cut_as_virtio_does():
    assert disk_serial("vol-12345678", "/dev/vdf") == "euca-vol-12345678-de"
    assert disk_serial("vol-0123456789abcdef0", "/dev/vdf") == "euca-vol-0123456789a"


def test_mount_points_are_plain_absolute_paths():
    assert is_mount_point("/data")
    assert is_mount_point("/srv/data_2")
    for path in ("data", "/", "/data/", "/../etc", "/a b", "/a;b", "/$x", "", "/.hidden", "/a/../b"):
        assert not is_mount_point(path), path


@given(st.text(max_size=400))
def test_a_tag_value_fits(text):
    assert len(tag_value(text)) <= 255
