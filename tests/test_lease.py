from hypersweep.kube import LEASES, KubeError
from hypersweep.lease import Lease

from .clock import Clock, Ticking
from .fakekube import FakeKube


def a_lease(kube: FakeKube, identity: str, clock: Clock) -> Lease:
    return Lease(kube, "system", "operator", identity, clock)


def holder(kube: FakeKube) -> str:
    return str(kube.objects["leases", "system", "operator"]["spec"]["holderIdentity"])


def test_a_free_lease_is_taken_at_once() -> None:
    kube, clock = FakeKube(), Clock()

    assert a_lease(kube, "a", clock).acquire(Ticking(clock, 0))
    assert holder(kube) == "a"


def test_a_held_lease_is_taken_only_when_it_was_not_renewed_for_its_duration() -> None:
    kube, clock = FakeKube(), Clock()
    a_lease(kube, "a", clock).renew()
    other = a_lease(kube, "b", clock)

    assert not other.renew()
    clock.now += 14
    assert not other.renew()
    clock.now += 2
    assert other.renew()
    assert holder(kube) == "b"


def test_a_renewal_seen_by_others_starts_the_wait_again() -> None:
    kube, clock = FakeKube(), Clock()
    first, other = a_lease(kube, "a", clock), a_lease(kube, "b", clock)
    first.renew()
    other.renew()
    clock.now += 10
    first.renew()
    other.renew()
    clock.now += 10

    assert not other.renew()


def test_its_own_lease_is_taken_back_at_once_after_a_restart() -> None:
    kube, clock = FakeKube(), Clock()
    a_lease(kube, "a", clock).renew()

    assert a_lease(kube, "a", clock).renew()


def test_a_released_lease_is_free_at_once() -> None:
    kube, clock = FakeKube(), Clock()
    first = a_lease(kube, "a", clock)
    first.renew()
    first.release()

    assert a_lease(kube, "b", clock).renew()


def test_the_lease_is_lost_when_no_renewal_works_before_the_deadline() -> None:
    kube, clock = FakeKube(), Clock()
    lease = a_lease(kube, "a", clock)
    lease.renew()
    kube.refusals["update"] = KubeError(0, "NoAnswer", "connection refused")
    waits = Ticking(clock, 100)

    assert not lease.hold(waits)
    assert clock.now <= 100 + 12


def test_a_short_outage_does_not_lose_the_lease() -> None:
    kube, clock = FakeKube(), Clock()
    lease = a_lease(kube, "a", clock)
    lease.renew()
    kube.refusals["update"] = KubeError(503, "", "unavailable")
    waits = Ticking(clock, 3)
    assert lease.hold(waits)
    del kube.refusals["update"]

    assert lease.hold(Ticking(clock, 100))


def test_a_lease_that_somebody_took_is_lost_as_soon_as_that_is_seen() -> None:
    kube, clock = FakeKube(), Clock()
    lease = a_lease(kube, "a", clock)
    lease.renew()
    taken = kube.get(LEASES, "system", "operator")
    taken["spec"]["holderIdentity"] = "b"
    kube.put(LEASES, "system", taken)

    assert not lease.hold(Ticking(clock, 2))
    assert holder(kube) == "b"


def test_an_answer_that_was_lost_is_no_loss_of_the_lease() -> None:
    kube, clock = FakeKube(), Clock()
    lease = a_lease(kube, "a", clock)
    lease.renew()
    kube.put(LEASES, "system", kube.get(LEASES, "system", "operator"))  # renewed, but we never heard

    assert lease.hold(Ticking(clock, 5))
