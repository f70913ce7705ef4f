"""Control commands: the broker's, in force before they are answered, and nobody else's."""

import contextlib
import json

import asyncssh
import pytest

ALICE, BOB = "172.16.77.5", "172.16.77.6"


async def command(conn, text, stdin=""):
    # stdin is always closed: asyncssh's run() would leave it open for an empty text.
    async with await conn.create_process(text) as process:
        with contextlib.suppress(BrokenPipeError):  # commands that read nothing may have answered already
            process.stdin.write(stdin)
            process.stdin.write_eof()
        done = await process.wait(timeout=60)
    assert done.stdout.count("\n") == 1
    return done.exit_status, json.loads(done.stdout)


async def test_lines_put_are_in_force_when_the_command_is_answered(bench):
    async with await bench.control() as broker:
        with pytest.raises(asyncssh.PermissionDenied):
            await bench.lease("lease-carol-g1")
        status, answer = await command(broker, "put-lines lease-carol", bench.line(ALICE, "lease-carol-g1"))
        assert (status, answer) == (0, {"ok": True, "name": "lease-carol", "lines": 1})
        async with await bench.lease("lease-carol-g1") as carol:
            assert (await bench.ask(carol, ALICE))[0].startswith("machine")
    assert (bench.config.lines / "lease-carol.keys").stat().st_mode & 0o777 == 0o600


async def test_dropping_cuts_before_the_answer_and_is_repeatable(bench):
    alice = await bench.lease("lease-alice-g1")
    _, reader, _ = await bench.ask(alice, ALICE)
    async with await bench.control() as broker:
        assert await command(broker, "drop-lines alice") == (0, {"ok": True, "name": "alice", "dropped": True})
        assert bench.gateway.connections == 1, "the person's connection is gone when the broker hears of it"
        assert await bench.ended(reader.read())
        assert await command(broker, "drop-lines alice") == (0, {"ok": True, "name": "alice", "dropped": False})


async def test_a_new_generation_replaces_the_old_one(bench):
    alice = await bench.lease("lease-alice-g1")
    async with await bench.control() as broker:
        await command(broker, "put-lines alice", bench.line(ALICE, "lease-alice-g2"))
        assert await bench.ended(alice.wait_closed())
        async with await bench.lease("lease-alice-g2") as again:
            await bench.ask(again, ALICE)


async def test_ping_and_list_tell_no_keys(bench):
    async with await bench.control() as broker:
        status, answer = await command(broker, "ping")
        assert status == 0
        assert answer["names"] == 2
        _, listing = await command(broker, "list-lines")
        assert set(listing["names"]) == {"alice", "bob"}
        assert listing["names"]["alice"]["lines"] == 1
        assert "AAAA" not in json.dumps(listing)


@pytest.mark.parametrize(
    ("text", "stdin"),
    [
        ("put-lines ../evil", "GOOD"),
        ("put-lines Alice", "GOOD"),
        ("put-lines " + "a" * 65, "GOOD"),
        ("put-lines", "GOOD"),
        ("put-lines a b", "GOOD"),
        ("put-lines ", "GOOD"),
        ("put-lines x", ""),
        ("put-lines x", "GOOD\nssh-ed25519 AAAA damaged"),
        ("put-lines x", "# nothing\n"),
        ("put-lines x", "#" * 70000),
        ("put-lines x", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEucCpdZjlI6FQaEGRtZ4C8OjF7ucSzlL5ZcKMOEaMb6"),
        ("drop-lines ../alice", ""),
        ("drop-lines *", ""),
        ("sh -c true", ""),
        ("ping; true", ""),
    ],
)
async def test_bad_commands_names_and_lines_are_refused_and_change_nothing(bench, text, stdin):
    before = {path.name: path.read_bytes() for path in bench.config.lines.iterdir()}
    async with await bench.control() as broker:
        status, answer = await command(broker, text, stdin.replace("GOOD", bench.line(ALICE, "lease-carol-g1")))
        assert status == 1
        assert answer["ok"] is False
        assert answer["message"]
    assert {path.name: path.read_bytes() for path in bench.config.lines.iterdir()} == before


async def test_refused_lines_leave_the_former_ones_in_force(bench):
    async with await bench.lease("lease-alice-g1") as alice, await bench.control() as broker:
        status, _ = await command(broker, "put-lines alice", "nonsense")
        assert status == 1
        assert (await bench.ask(alice, ALICE))[0].startswith("machine")


async def test_only_a_trusted_authority_and_the_brokers_principal_give_commands(bench):
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    for keypair in (
        bench.certificate("educloud-broker"),  # signed by the authority of the leases
        bench.certificate("educloud-broker", ca=stranger),
        bench.certificate("lease-alice-g1", ca=bench.control_ca),
        bench.certificate("educloud-control", ca=bench.control_ca),
        bench.certificate("lease-alice-g1"),
        bench.certificate(ca=bench.control_ca),
        bench.control_ca,
    ):
        with pytest.raises(asyncssh.PermissionDenied):
            await bench.connect(keypair, "educloud-control")
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.connect(bench.certificate("educloud-broker", ca=bench.control_ca), "someone")


async def test_a_persons_connection_cannot_give_commands(bench):
    async with await bench.lease("lease-alice-g1") as alice:
        for text in ("ping", "put-lines x", "drop-lines bob"):
            with pytest.raises(asyncssh.ChannelOpenError):
                await alice.run(text)


async def test_a_lines_file_cannot_make_a_controller(bench):
    bench.allow("sly", bench.line(ALICE, "educloud-broker"))
    await bench.gateway.refresh()
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.connect(bench.certificate("educloud-broker"), "educloud-control")


async def test_the_broker_gets_commands_only_no_shell_terminal_sftp_or_forward(bench):
    async with await bench.control() as broker:
        with pytest.raises(asyncssh.ChannelOpenError):
            await broker.open_connection(ALICE, 22)
        with pytest.raises(asyncssh.ChannelOpenError):
            await broker.create_process()
        with pytest.raises(asyncssh.ChannelOpenError):
            await broker.create_process("ping", term_type="xterm")
        with pytest.raises((asyncssh.ChannelOpenError, asyncssh.SFTPError)):
            await broker.start_sftp_client()


async def test_withdrawing_the_authority_ends_the_brokers_connection(bench):
    broker = await bench.control()
    bench.config.trusted_ca.write_text("# none\n")
    assert await bench.ended(broker.wait_closed())
    with pytest.raises(asyncssh.PermissionDenied):
        await bench.control()
