"""The gateway against real SSH clients: who gets where, and that it ends when no line allows it any longer."""

import asyncio
import contextlib
import json
import shutil
import socket
import time

import asyncssh
import pytest

from educloud_lab.gateway import Gateway, GatewayConfig, GatewayRunningError
from educloud_lab.gateway.lines import drop_lines
from educloud_lab.gateway.routes import write_routes
from educloud_lab.gateway.server import POLL_S
from tests.patience import LIMIT_S, eventually

ALICE, BOB = "172.16.77.5", "172.16.77.6"


def public(key):
    return key.export_public_key("openssh").decode().strip()


async def test_a_certificate_of_the_lease_reaches_its_machine_and_bytes_flow_both_ways(bench):
    async with await bench.lease("lease-alice-g1") as conn:
        greeting, reader, writer = await bench.ask(conn, ALICE)
        assert greeting == f"machine on {bench.ports[ALICE]}\n"
        data = bytes(range(256)) * 4096
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data


async def test_the_cipher_is_aes_gcm_and_the_exchange_curve25519_where_the_client_allows_it(bench):
    async with await bench.lease("lease-alice-g1") as conn:
        assert "gcm" in conn.get_extra_info("send_cipher")


@pytest.mark.parametrize(
    "address",
    [BOB, "172.16.77.05", "172.016.77.5", "172.16.77.5.", " 172.16.77.5", "localhost", "::ffff:172.16.77.5", "::1", ""],
)
async def test_another_persons_address_and_other_spellings_of_ones_own_are_refused(bench, address):
    async with await bench.lease("lease-alice-g1") as conn:
        with pytest.raises(asyncssh.ChannelOpenError) as refused:
            await conn.open_connection(address, 22)
        assert refused.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
        greeting, _, _ = await bench.ask(conn, ALICE)
        assert greeting.startswith("machine")


async def test_another_port_of_ones_own_machine_is_refused(bench):
    async with await bench.lease("lease-alice-g1") as conn:
        with pytest.raises(asyncssh.ChannelOpenError):
            await conn.open_connection(ALICE, 23)


@pytest.mark.parametrize(
    "principals", [["lease-mallory-g1"], ["lease-alice-g2"], ["lease-alice-g1x"], ["anything"], []]
)
async def test_a_certificate_without_a_listed_principal_does_not_log_in(bench, principals):
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.connect(bench.certificate(*principals))


async def test_the_login_name_neither_helps_nor_hinders(bench):
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.connect(bench.certificate("lease-mallory-g1"), username="lease-alice-g1")
    async with await bench.connect(bench.certificate("lease-alice-g1"), username="root"):
        pass


async def test_expired_and_future_certificates_and_another_authority_do_not_log_in(bench):
    now = int(time.time())
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    for keypair in (
        bench.certificate("lease-alice-g1", valid_after=now - 60, valid_before=now - 1),
        bench.certificate("lease-alice-g1", valid_after="+5m", valid_before="+10m"),
        bench.certificate("lease-alice-g1", ca=asyncssh.generate_private_key("ssh-ed25519")),
        bench.certificate("lease-alice-g1", source_address=["192.0.2.1"]),
        (host_key, bench.ca.generate_host_certificate(host_key, "a host's", principals=["lease-alice-g1"])),
    ):
        with pytest.raises(asyncssh.PermissionDenied):
            await bench.connect(keypair)


@pytest.mark.parametrize("options", [{"permit_port_forwarding": False}, {"force_command": "true"}])
async def test_what_the_certificate_forbids_is_refused_though_the_line_allows_it(bench, options):
    async with await bench.connect(bench.certificate("lease-alice-g1", **options)) as conn:
        with pytest.raises(asyncssh.ChannelOpenError):
            await conn.open_connection(ALICE, 22)


async def test_a_key_pair_by_hand_works_by_its_own_line_only(bench):
    key, other = (asyncssh.generate_private_key("ecdsa-sha2-nistp256") for _ in range(2))
    bench.allow("by-hand", f'restrict,port-forwarding,permitopen="{ALICE}:22" {public(key)}')
    await bench.gateway.refresh()
    async with await bench.connect(key) as conn:
        await bench.ask(conn, ALICE)
        with pytest.raises(asyncssh.ChannelOpenError):
            await conn.open_connection(BOB, 22)
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.connect(other)


async def test_the_authoritys_own_key_is_no_login(bench):
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.connect(bench.ca)


async def test_sessions_sftp_and_every_other_forward_are_refused(bench, tmp_path):
    async with await bench.lease("lease-alice-g1") as conn:
        for command in ("true", "ping", None):
            with pytest.raises(asyncssh.ChannelOpenError):
                await conn.run(command)
        with pytest.raises(asyncssh.ChannelOpenError):
            await conn.start_sftp_client()
        with pytest.raises(asyncssh.ChannelListenError):
            await conn.start_server(lambda *_: None, "127.0.0.1", 0)
        with pytest.raises(asyncssh.ChannelListenError):
            await conn.start_unix_server(lambda: None, str(tmp_path / "s"))
        with pytest.raises(asyncssh.ChannelOpenError):
            await conn.open_unix_connection(str(tmp_path / "s"))
        with pytest.raises(asyncssh.ChannelOpenError):
            await conn.open_tun()


async def test_nothing_listening_is_said_plainly_and_quickly(bench):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        write_routes(bench.config.routes, {f"{ALICE}:22": f"127.0.0.1:{sock.getsockname()[1]}"})
        await bench.gateway.refresh()
        async with await bench.lease("lease-alice-g1") as conn:
            with pytest.raises(asyncssh.ChannelOpenError, match=r"172\.16\.77\.5:22 refused .*nothing listens"):
                await conn.open_connection(ALICE, 22)


async def test_a_permitted_destination_without_a_route_is_refused_and_a_new_route_is_noticed(bench):
    write_routes(bench.config.routes, {})
    await bench.gateway.refresh()
    async with await bench.lease("lease-alice-g1") as conn:
        with pytest.raises(asyncssh.ChannelOpenError, match="no route to"):
            await conn.open_connection(ALICE, 22)
        write_routes(bench.config.routes, {f"{ALICE}:22": f"127.0.0.1:{bench.ports[ALICE]}"})
        async with asyncio.timeout(LIMIT_S):
            while True:  # the gateway looks for itself, in its own time
                with contextlib.suppress(asyncssh.ChannelOpenError):
                    assert (await bench.ask(conn, ALICE))[0].startswith("machine")
                    break
                await asyncio.sleep(POLL_S)


async def test_a_line_for_a_port_of_the_gateways_host_is_not_dialled_but_an_allowed_network_is(bench, tmp_path):
    port = bench.ports[ALICE]
    for networks, works in ((GatewayConfig().direct_networks, False), (("127.0.0.0/8",), True)):
        (folder := tmp_path / str(works)).mkdir()
        config = GatewayConfig(listen_port=0, direct=True, direct_networks=networks).beside(folder)
        async with Gateway(config) as gateway:
            other = bench.over(config, gateway)
            other.allow("here", bench.line("127.0.0.1", "lease-x-g1").replace(":22", f":{port}"))
            await gateway.refresh()
            async with await other.lease("lease-x-g1") as conn:
                if works:
                    assert (await bench.ask(conn, "127.0.0.1", port))[0].startswith("machine")
                else:
                    with pytest.raises(asyncssh.ChannelOpenError):
                        await conn.open_connection("127.0.0.1", port)


# Revocation.


def test_files_are_looked_at_more_often_than_once_a_second():
    assert POLL_S < 1


async def test_dropping_the_lines_cuts_a_live_connection_and_spares_others(bench):
    alice, bob = await bench.lease("lease-alice-g1"), await bench.lease("lease-bob-g1")
    _, reader, _ = await bench.ask(alice, ALICE)
    _, bobs_reader, bobs_writer = await bench.ask(bob, BOB)
    drop_lines(bench.config.lines, "alice")
    assert await bench.ended(asyncio.gather(reader.read(), alice.wait_closed()))
    bobs_writer.write(b"still here\n")
    assert await bobs_reader.readline() == b"still here\n"
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.lease("lease-alice-g1")
    await eventually(lambda: bench.gateway.connections == 1)
    bob.close()


async def test_a_changed_line_cuts_only_the_channel_that_is_no_longer_allowed(bench):
    bench.allow("alice", bench.line(ALICE, "lease-alice-g1"), bench.line(BOB, "lease-alice-g1"))
    await bench.gateway.refresh()
    async with await bench.lease("lease-alice-g1") as conn:
        _, reader, writer = await bench.ask(conn, ALICE)
        _, gone, _ = await bench.ask(conn, BOB)
        bench.allow("alice", bench.line(ALICE, "lease-alice-g1"))
        assert await bench.ended(gone.read())
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"


async def test_a_connection_stays_while_another_line_allows_it(bench):
    bench.allow("alice-too", bench.line(ALICE, "lease-alice-g1"))
    await bench.gateway.refresh()
    async with await bench.lease("lease-alice-g1") as conn:
        _, reader, writer = await bench.ask(conn, ALICE)
        drop_lines(bench.config.lines, "alice")
        await bench.gateway.refresh()
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"


async def test_a_line_that_becomes_malformed_permits_nothing_and_spares_its_neighbours(bench):
    bench.allow("alice", bench.line(BOB, "lease-bob-g1"), bench.line(ALICE, "lease-alice-g1"))
    drop_lines(bench.config.lines, "bob")
    await bench.gateway.refresh()
    alice, bob = await bench.lease("lease-alice-g1"), await bench.lease("lease-bob-g1")
    path = bench.config.lines / "alice.keys"
    path.write_text(path.read_text().replace(f"{ALICE}:22", f"{ALICE}:"))
    assert await bench.ended(alice.wait_closed())
    assert (await bench.ask(bob, BOB))[0].startswith("machine")
    bob.close()


async def test_lines_that_others_can_write_permit_nothing(bench):
    conn = await bench.lease("lease-alice-g1")
    (bench.config.lines / "alice.keys").chmod(0o666)
    assert await bench.ended(conn.wait_closed())


async def test_a_line_that_expires_cuts_what_it_allowed(bench):
    conn = await bench.lease("lease-alice-g1")
    end = int(time.time()) + 2
    stamp = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(end))
    bench.allow("alice", bench.line(ALICE, "lease-alice-g1", options=f',expiry-time="{stamp}"'))
    assert await bench.ended(conn.wait_closed())
    assert time.time() >= end  # not before
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.lease("lease-alice-g1")


# Life of the process's files.


async def test_the_state_file_tells_where_it_listens_and_goes_away(bench):
    state = json.loads(bench.config.state_file.read_text())
    assert (state["host"], state["port"], state["host_key"]) == (
        "127.0.0.1",
        bench.gateway.port,
        bench.gateway.host_key_line,
    )
    with pytest.raises(GatewayRunningError):
        await Gateway(bench.config).__aenter__()
    assert bench.config.state_file.exists()
    assert bench.config.host_key.stat().st_mode & 0o777 == 0o600
    before = bench.config.host_key.read_bytes()
    await bench.gateway.__aexit__(None, None, None)
    assert not bench.config.state_file.exists()
    async with Gateway(bench.config) as again:
        assert again.host_key_line == bench.gateway.host_key_line
    assert bench.config.host_key.read_bytes() == before


@pytest.fixture
def openssh():
    found = shutil.which("ssh")
    assert found, "OpenSSH's client is needed: apt-get install openssh-client"
    return found


async def test_openssh_jumps_through_to_a_machines_own_sshd(bench, openssh, tmp_path):
    """``ssh -J`` as people type it: the gateway, then the machine behind it, each with the same certificate."""
    machine_key = asyncssh.generate_private_key("ssh-ed25519")

    class Machine(asyncssh.SSHServer):
        def begin_auth(self, username):
            return False  # what the machine checks is not this test's matter

    async def hello(process):
        process.stdout.write(f"hello from the machine: {process.command}\n")
        process.exit(0)

    async with await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Machine, server_host_keys=[machine_key], process_factory=hello
    ) as machine:
        write_routes(bench.config.routes, {f"{ALICE}:22": f"127.0.0.1:{machine.get_port()}"})
        await bench.gateway.refresh()
        key, cert = bench.certificate("lease-alice-g1")
        key.write_private_key(tmp_path / "id")
        (tmp_path / "id").chmod(0o600)
        cert.write_certificate(tmp_path / "id-cert.pub")
        (tmp_path / "known").write_text(
            f"[127.0.0.1]:{bench.gateway.port} {bench.gateway.host_key_line}\n{ALICE} {public(machine_key)}\n"
        )
        (tmp_path / "config").write_text(
            f"Host *\n IdentityFile {tmp_path}/id\n CertificateFile {tmp_path}/id-cert.pub\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {tmp_path}/known\n StrictHostKeyChecking yes\n BatchMode yes\n"
        )
        for address, status in ((ALICE, 0), (BOB, 255)):
            process = await asyncio.create_subprocess_exec(
                openssh, "-F", str(tmp_path / "config"), "-J", f"me@127.0.0.1:{bench.gateway.port}",
                f"student@{address}", "uname",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
            assert process.returncode == status, err
            assert (out == b"hello from the machine: uname\n") == (status == 0)
        assert b"does not permit that destination" in err or b"administratively prohibited" in err
