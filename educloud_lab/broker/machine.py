"""The machine itself: brought to run, as one instance per generation and never two (I1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from educloud_lab.broker import another, grants, queue
from educloud_lab.broker.run import Run
from educloud_lab.broker.scripts.first_contact import user_data
from educloud_lab.broker.tags import find_instance, instance_tags
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudError, CloudStateError, ProfileError
from educloud_lab.domain.job import HostKeyStage
from educloud_lab.ports.cloud import ImageSeen, InstanceSeen, InstanceState, RunSpec
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.store import Transaction

_ASK_AGAIN_S = 5.0  # the cloud says nothing when a StartInstances met an instance that was not stopped yet


def bootstrap_name(lease: LeaseRecord) -> str:
    """Return the name of the secret that holds a generation's bootstrap host key."""
    return f"bootstrap-{lease.id}-g{lease.generation}"


def without_instance(lease: LeaseRecord) -> LeaseRecord:
    """Return the lease after its instance is known to be dead: the next one is a new generation."""
    return replace(
        lease,
        instance_id=None,
        instance_state="",
        address=None,
        launched_at=None,
        client_token="",
        token_at=None,
        token_sent=False,
        bootstrap_key="",
        host_key="",
        host_key_stage=HostKeyStage.NONE,
    )


async def choose_place(run: Run) -> None:
    """Decide the zone before anything is made: machine and volume must share it."""
    lease = run.lease
    zone = run.volume.zone if run.has_volume and run.volume.zone else lease.zone
    if not zone:
        zones = await run.parts.cloud.zones()
        if not zones:
            raise CloudError("The cloud has no zone that is available.", next_step="Ask whoever runs the cloud.")
        zone = zones[0]
    if lease.zone != zone or (run.has_volume and run.volume.zone != zone):

        def decide(tx: Transaction) -> None:
            now_lease, now_volume = tx.lease(lease.id), tx.volume_of(lease.id)
            assert now_lease is not None
            tx.put_lease(replace(now_lease, zone=zone))
            if now_volume is not None:
                tx.put_volume(replace(now_volume, zone=zone))

        await run.commit("zone", decide)


async def new_generation(run: Run) -> None:
    """Record the intent of a new instance: its token and its bootstrap host key, before the cloud is called."""
    pair = run.parts.authority.new_key_pair()

    def intend(tx: Transaction) -> None:
        lease = tx.lease(run.lease.id)
        assert lease is not None
        tx.drop_secret(bootstrap_name(lease))
        generation = lease.generation + 1
        lease = replace(
            without_instance(lease),
            generation=generation,
            client_token=naming.client_token(run.parts.deployment, lease.key, generation),
            token_at=tx.now(),
            bootstrap_key=pair.public,
            host_key_stage=HostKeyStage.BOOTSTRAP,
        )
        tx.put_lease(lease)
        tx.put_secret(bootstrap_name(lease), pair)

    await run.commit("generation", intend)


async def boot(run: Run) -> None:
    """Bring the lease's instance to run, adopting what exists by id, token or tags."""
    parts, config = run.parts, run.parts.config
    began_s = parts.clock.monotonic_s()
    asked_s: float | None = None
    while True:
        run.check()
        if not run.lease.client_token:
            await new_generation(run)
        seen = await _find(run)
        if seen is None:
            continue
        await note(run, seen)
        if seen.state is InstanceState.RUNNING:
            return
        if seen.state is InstanceState.TERMINATED:
            await _bury(run, seen)
        elif seen.state is InstanceState.STOPPED:
            now_s = parts.clock.monotonic_s()
            if asked_s is None or now_s - asked_s > _ASK_AGAIN_S:
                if asked_s is None:
                    await queue.admit(run)
                asked_s = now_s
                await _ensure_group(run)
                run.notes["launched"] = True
                await queue.ask(run, "start-instance", partial(parts.cloud.start_instance, seen.instance_id))
        elif seen.state is InstanceState.PENDING:
            await run.say("The cloud is preparing the machine")
        else:
            await run.say("The machine is still going down")
        if parts.clock.monotonic_s() - began_s > config.launch_limit_s:
            if another.may_end(run, seen):
                await another.end(run, seen)
                began_s = parts.clock.monotonic_s()
                continue
            raise CloudError(
                f"The cloud did not bring the machine up within {config.launch_limit_s / 60:.0f} minutes.",
                kept="Your data volume was not touched.",
                next_step="Press Start to wait again, or Delete machine and then Start for another one.",
            )


async def _find(run: Run) -> InstanceSeen | None:
    """Return the instance, having asked for it when it certainly is not there; None means look again."""
    parts, config, lease = run.parts, run.parts.config, run.lease
    if not lease.token_sent and lease.instance_id is None:
        return await _launch(run)
    seen = find_instance(await run.look(), parts.deployment, lease)
    thing = lease.instance_id or lease.client_token
    if seen is not None:
        parts.sight.seen(thing)
        return seen
    now = await parts.store.transact(lambda tx: tx.now())
    young = lease.token_at is not None and now - lease.token_at < timedelta(seconds=config.token_lifetime_s)
    if lease.instance_id is None and young:
        # The call may have arrived or not: the same token gives the same instance (E1).
        return await _launch(run)
    await run.say("The cloud does not show the machine; looking again before another one is made")
    if parts.sight.confirmed_absent(thing, looks=config.absences, over_s=config.absence_s):
        await new_generation(run)
    return None


async def _launch(run: Run) -> InstanceSeen | None:
    parts, lease = run.parts, run.lease
    await queue.admit(run)
    image = await _image(run, lease)
    bootstrap = await parts.store.transact(lambda tx: tx.secret(bootstrap_name(lease)))
    if bootstrap is None:
        # Only after somebody emptied the store's secrets: this token cannot be sent any more.
        await new_generation(run)
        return None
    spec = RunSpec(
        image_id=image.image_id,
        instance_type=lease.profile.instance_type,
        zone=lease.zone,
        user_data=user_data(
            bootstrap=bootstrap,
            user_ca=parts.ca().public,
            login_user=lease.profile.login_user,
            login=naming.lease_principal(lease.id, lease.generation),
            broker=naming.broker_principal(lease.id, lease.generation),
        ),
        tags=instance_tags(parts.deployment, lease),
        group=naming.group_name(parts.deployment, lease.profile.name),
    )
    await _ensure_group(run)
    if not lease.token_sent:
        await run.put_lease("instance intent", token_sent=True)
    run.check()
    run.notes["launched"] = True
    try:
        seen = await queue.ask(
            run, "run-instance", lambda: parts.cloud.run_instance(spec, client_token=lease.client_token)
        )
    except queue.NoRoomError:
        if not lease.token_sent:  # the first time that this token was sent, and it made nothing
            await run.put_lease("no room", token_sent=False)
        raise
    await note(run, seen, image=image)
    return seen


async def _ensure_group(run: Run) -> None:
    """See to the group before each start: a sleeping machine stays in its group, whose ports may have changed."""
    parts, profile = run.parts, run.lease.profile
    name = naming.group_name(parts.deployment, profile.name)
    await run.outside("ensure-group", lambda: parts.cloud.ensure_group(name, profile.ports))


async def _image(run: Run, lease: LeaseRecord) -> ImageSeen:
    wanted = lease.profile.image
    images = await run.parts.cloud.images()
    found = [image for image in images if wanted in (image.image_id, image.name)]
    # The cloud may list an unusable image beside the good one of the same name.
    image = next((image for image in found if image.state == "available"), None)
    if image is None and found:
        raise ProfileError(
            f"The image '{wanted}' is there, but the cloud says that it is '{found[0].state}'.",
            kept="Nothing was started.",
            next_step=f"Build or register it again (local cloud: educloud cloud image build {wanted} --force).",
        )
    if image is None:
        names = ", ".join(sorted(image.name for image in images)[:8]) or "none"
        raise ProfileError(
            f"The cloud has no image '{wanted}' (it has: {names}).",
            kept="Nothing was started.",
            next_step="Register the image (local cloud: educloud cloud image build NAME) or name another one.",
        )
    local = run.parts.config.cloud_kind == "local"
    if local and (image.architecture != "x86_64" or image.virtualization_type != "hvm"):
        raise ProfileError(
            f"The image '{wanted}' is for {image.architecture} machines with"
            f" {image.virtualization_type} virtualisation, which this cloud cannot run.",
            kept="Nothing was started.",
            next_step="Name an image for x86_64 and hvm in the machine profile.",
        )
    return image


async def note(run: Run, seen: InstanceSeen, *, image: ImageSeen | None = None) -> None:
    """Record what was seen of the instance, when that is new."""
    lease = run.lease
    address = seen.address or lease.address
    root = seen.root_device_type or (image.root_device_type if image else "") or lease.root_device_type
    new = (seen.instance_id, str(seen.state), address, seen.image_id, root)
    old = (lease.instance_id, lease.instance_state, lease.address, lease.image_id, lease.root_device_type)
    if new != old:
        await run.put_lease(
            f"instance {seen.state}",
            instance_id=seen.instance_id,
            instance_state=str(seen.state),
            address=address,
            image_id=seen.image_id,
            root_device_type=root,
            launched_at=seen.launched_at,
        )


async def _bury(run: Run, seen: InstanceSeen) -> None:
    launched = bool(run.notes.get("launched")) and not another.was_ended(run, seen.instance_id)
    await run.commit("death", lambda tx: tx.put_lease(without_instance(_present(tx, run))))
    if launched:
        raise CloudStateError(
            f"The machine ended by itself while it started ({seen.reason or 'the cloud gave no reason'}).",
            kept="Your data volume was not touched.",
            next_step="A new machine is tried; if this repeats, ask whoever runs the cloud.",
        )


def _present(tx: Transaction, run: Run) -> LeaseRecord:
    lease = tx.lease(run.lease.id)
    assert lease is not None
    return lease


async def find_address(run: Run) -> None:
    """Wait for an address, and let the front end know it before anybody connects."""
    parts = run.parts

    def late() -> CloudError:
        return CloudStateError(
            "The cloud gave the machine no address.",
            kept="Your data volume was not touched.",
            next_step="Press Start to try again, or Delete machine and then Start for another one.",
        )

    if run.lease.address is None or run.lease.instance_state != InstanceState.RUNNING:
        seen = await run.poll(
            "The machine has no address yet",
            lambda view: _addressed(find_instance(view, parts.deployment, run.lease)),
            limit_s=parts.config.launch_limit_s,
            late=late,
        )
        await note(run, seen)
    if parts.frontend is not None:
        frontend, lines = parts.frontend, grants.lines(parts, run.lease, person=True)
        await run.outside("put-lines", lambda: frontend.put_lines(grants.lines_name(run.lease), lines))


def _addressed(seen: InstanceSeen | None) -> InstanceSeen | None:
    if seen is None:
        return None
    if seen.state not in (InstanceState.PENDING, InstanceState.RUNNING):
        raise stopped_by_itself()
    return seen if seen.address is not None and seen.state is InstanceState.RUNNING else None


def stopped_by_itself() -> CloudStateError:
    """Return the error for a machine that went down while we were starting it."""
    return CloudStateError(
        "The machine stopped by itself while it started.",
        kept="Your data volume was not touched.",
        next_step="It is started again; the console log may say why.",
    )
