"""Control of the gateway: one authority a store, trusted once, certificates that say one thing."""

import json

import pytest

from educloud_lab.adapters.memory.store import MemoryStore
from educloud_lab.adapters.ssh import AsyncsshAuthority
from educloud_lab.app.control import SECRET, ControlAuthority, trust
from educloud_lab.app.local_cloud import LocalEc2Cloud, ensure_running, gateway_address, local_endpoint
from educloud_lab.broker.clock import SystemClock
from educloud_lab.domain.errors import CloudUnreachableError, MachineUnreachableError
from educloud_lab.localcloud.settings import Folders


@pytest.fixture
def home(tmp_path):
    Folders(tmp_path).make()
    return tmp_path


def trusted(home):
    return (Folders(home).gateway / "trusted_ca.keys").read_text().splitlines()


async def test_two_brokers_on_one_store_share_one_authority_that_is_trusted_once(home):
    store = MemoryStore(SystemClock())
    await store.open()
    one, two = (ControlAuthority(store, AsyncsshAuthority(), home) for _ in range(2))
    await one.prepare()
    given = await one.credentials()
    other = await two.credentials()
    assert given.private_key != other.private_key
    pair = await store.transact(lambda tx: tx.secret(SECRET))
    assert trusted(home) == [pair.public]
    assert pair.private not in repr(given) + repr(pair)


async def test_a_cloud_that_was_reset_trusts_it_again(home):
    store = MemoryStore(SystemClock())
    await store.open()
    control = ControlAuthority(store, AsyncsshAuthority(), home)
    await control.credentials()
    (Folders(home).gateway / "trusted_ca.keys").unlink()
    await control.credentials()
    assert len(trusted(home)) == 1


def test_what_others_wrote_stays(home):
    path = Folders(home).gateway / "trusted_ca.keys"
    path.write_text("# mine\nssh-ed25519 AAAA other")
    trust(home, "ssh-ed25519 BBBB")
    trust(home, "ssh-ed25519 BBBB")
    assert trusted(home) == ["# mine", "ssh-ed25519 AAAA other", "ssh-ed25519 BBBB"]
    assert path.stat().st_mode & 0o077 == 0


async def test_a_cloud_that_does_not_run(home):
    with pytest.raises(CloudUnreachableError) as caught:
        await ensure_running(home, autostart=False)
    assert "educloud cloud start" in caught.value.next_step
    with pytest.raises(CloudUnreachableError):
        local_endpoint(home)
    with pytest.raises(MachineUnreachableError):
        gateway_address(home)


async def test_a_cloud_that_cannot_be_started(home, monkeypatch):
    from educloud_lab.localcloud import process
    from educloud_lab.localcloud.errors import LocalCloudError

    def refuse(_home):
        raise LocalCloudError("QEMU is missing. Nothing was started. Install qemu-system-x86.")

    monkeypatch.setattr(process, "start", refuse)
    with pytest.raises(CloudUnreachableError, match=r"QEMU is missing.*Install qemu-system-x86") as caught:
        await ensure_running(home, autostart=True)
    assert caught.value.kept


async def test_a_cloud_that_was_started_anew_elsewhere_is_found_again(home):
    def announce(port):
        text = json.dumps({"endpoint_url": f"http://127.0.0.1:{port}/services/compute", "region": "eucalyptus"})
        Folders(home).announcement.write_text(text)

    async def asked(cloud):
        return await cloud._call(lambda ec2: ec2.meta.endpoint_url)

    announce(1)
    cloud = LocalEc2Cloud(home)
    try:
        assert await asked(cloud) == "http://127.0.0.1:1/services/compute"
        announce(2)
        assert await asked(cloud) == "http://127.0.0.1:2/services/compute"
        Folders(home).announcement.unlink()
        with pytest.raises(CloudUnreachableError, match="educloud cloud start"):
            await asked(cloud)
    finally:
        cloud.close()


def test_new_keys_after_a_reset_are_used(home):
    Folders(home).announcement.write_text(json.dumps({"endpoint_url": "http://127.0.0.1:1/", "region": "r"}))
    first = local_endpoint(home)
    assert local_endpoint(home) == first
    Folders(home).credentials.unlink()
    assert local_endpoint(home).secret_key != first.secret_key
    assert first.secret_key not in repr(first)
