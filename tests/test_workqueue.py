import threading

from hypersweep.workqueue import WorkQueue

from .clock import Clock


def test_a_key_waits_at_most_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)

    assert (queue.depth, queue.get(), queue.get()) == (2, "a", "b")


def test_a_key_added_during_its_pass_waits_for_the_end_of_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    first = queue.get()
    queue.add("a")
    queue.add("b")
    second = queue.get()
    queue.done("a")

    assert (first, second, queue.get()) == ("a", "b", "a")


def test_a_key_comes_at_the_earliest_of_its_moments_and_once() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_at("a", 130.0)
    queue.add_at("a", 110.0)
    queue.add_at("a", 120.0)
    queue.add("b")

    assert queue.get() == "b"
    clock.now = 111.0
    assert queue.get() == "a"
    queue.done("a")
    clock.now = 200.0
    queue.add("c")
    assert queue.get() == "c"
    assert queue.depth == 0


def test_closing_wakes_those_who_wait() -> None:
    queue: WorkQueue[str] = WorkQueue()
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(queue.get()))
    waiting.start()
    queue.close()
    waiting.join(5)

    assert found == [None]


def test_only_keys_that_could_have_a_pass_count_as_waiting_long() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    queue.get()
    queue.add("a")
    clock.now += 60

    assert queue.oldest == 0.0
    queue.done("a")
    assert queue.oldest == 60.0
