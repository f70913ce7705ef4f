"""Configuration: one by one and in combination; what is unsafe is refused with a way out."""

import os

import pytest
from traitlets.config import Config

from educloud_lab.app.config import ConfigurationError, Educloud
from educloud_lab.app.person import current_person, is_hub_spawned
from educloud_lab.app.wiring import read_settings, remote_endpoint

HUB = {"JUPYTERHUB_USER": "ada", "JUPYTERHUB_API_TOKEN": "t"}


@pytest.fixture
def credentials(tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s%cr=et\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def remote(credentials):
    return {"cloud_endpoint": "https://cloud.example:8773/services/compute/", "credentials_file": str(credentials)}


def test_defaults_use_the_local_cloud_of_this_home(tmp_path, monkeypatch):
    monkeypatch.setenv("EDUCLOUD_HOME", str(tmp_path / "my home"))
    settings = read_settings(Config())
    assert settings.is_local
    assert settings.autostart_cloud
    assert settings.home == str(tmp_path / "my home")
    assert settings.store_url == f"sqlite:///{tmp_path / 'my home' / 'store.sqlite'}"
    assert settings.profiles_path == str(tmp_path / "my home" / "profiles")


def test_the_local_cloud_is_allowed_everywhere():
    Educloud(credentials_owner="institution").check(HUB)


def test_personal_credentials_on_ones_own_computer(remote):
    settings = Educloud(**remote)
    settings.check({})
    endpoint = remote_endpoint(settings)
    assert (endpoint.access_key, endpoint.secret_key) == ("AKIA1", "s%cr=et")
    assert "s%cr=et" not in repr(endpoint)


@pytest.mark.parametrize(
    ("changes", "environ", "told"),
    [
        ({"credentials_owner": "institution"}, {}, "institution"),
        ({"credentials_owner": "institution", "allow_credentials_under_hub": True}, HUB, "institution"),
        ({}, HUB, "JupyterHub"),
        ({}, {"JUPYTERHUB_API_TOKEN": "t"}, "JupyterHub"),
        ({"credentials_file": ""}, {}, "credentials_file"),
        ({"credentials_file": "/nowhere/at/all"}, {}, "cannot be read"),
        ({"cloud_endpoint": "http://cloud.example/"}, {}, "http"),
        ({"gateway_host": "front.example"}, {}, "gateway_host_key"),
    ],
)
def test_unsafe_combinations(remote, changes, environ, told):
    with pytest.raises(ConfigurationError) as caught:
        Educloud(**(remote | changes)).check(environ)
    assert told in caught.value.what
    assert caught.value.next_step


def test_personal_credentials_under_a_hub_when_allowed(remote):
    Educloud(allow_credentials_under_hub=True, **remote).check(HUB)


def test_a_credentials_file_that_others_may_read(remote, credentials):
    credentials.chmod(0o640)
    with pytest.raises(ConfigurationError, match="not yours alone"):
        Educloud(**remote).check({})


@pytest.mark.parametrize(
    "text", ["", "[other]\n", "[default]\naws_access_key_id=x\n", "aws_secret_access_key=hunter2\n"]
)
def test_a_credentials_file_without_a_key_is_not_quoted(remote, credentials, text):
    credentials.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        remote_endpoint(Educloud(**remote))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cloud_endpoint", "ftp://x"),
        ("cloud_endpoint", "https://user:word@x/"),
        ("cloud_endpoint", "cloud.example"),
        ("store_url", "mysql://x"),
        ("gateway_port", 0),
        ("time_limit_s", -1),
        ("credentials_owner", "somebody"),
    ],
)
def test_a_wrong_value_is_told_as_an_error_of_ours(name, value):
    with pytest.raises(ConfigurationError, match=name):
        read_settings(Config({"Educloud": {name: value}}))


def test_the_person():
    assert current_person({"JUPYTERHUB_USER": "ada"}) == "ada"
    assert current_person({"LOGNAME": "x"}) == current_person({})
    assert is_hub_spawned(HUB)
    assert not is_hub_spawned({})


def test_the_person_of_a_number_without_a_name(monkeypatch):
    def nameless():
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert current_person({}) == f"uid-{os.getuid()}"
