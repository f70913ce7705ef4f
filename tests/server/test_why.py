"""The doctor's answer over REST."""

from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire


class Doctor:
    asked: list[tuple[str, str]]

    def __init__(self):
        self.asked = []

    async def why(self, person, lease_id):
        self.asked.append((person, lease_id))
        if lease_id == "l-none":
            raise NotFoundError("There is no such machine, or it is not yours.")
        return wire.Why(lease_id=lease_id, healthy=True, findings=[], text="nothing <b>", console_tail="")


async def test_why_asks_the_doctor_as_the_person_who_is_signed_in(call, broker):
    broker.doctor = Doctor()
    status, reply, headers = await call("GET", "leases/l-x-main/why")
    assert (status, reply["healthy"], reply["text"]) == (200, True, "nothing <b>")
    assert headers["Content-Type"].startswith("application/json")
    assert broker.doctor.asked == [("ada", "l-x-main")]


async def test_somebody_elses_machine_is_not_there(call, broker):
    broker.doctor = Doctor()
    status, reply, _ = await call("GET", "leases/l-none/why")
    assert (status, reply["error"]["code"]) == (404, "not-found")
