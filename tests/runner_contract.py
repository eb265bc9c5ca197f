"""What every runner must do, checked on the one of this machine and on the one of a cluster."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from hypersweep import api, contract
from hypersweep.runner import Evidence, Exit, Key, Live, Order, Phase, Runner
from hypersweep.store import Store
from hypersweep.trial import Suggestion

SCRIPT = """
import json, os, signal, sys
do = json.loads(os.environ["HYPERSWEEP_PARAMETERS"])["do"]
if do == "tell":
    open(os.environ["HYPERSWEEP_TERMINATION_LOG"], "w").write(json.dumps({"loss": 0.5}))
if do == "fail":
    sys.exit("no luck")
if do == "refuse":
    sys.exit(78)
if do == "save":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
if do in ("save", "wait"):
    while True:
        signal.pause()
"""
DOES = ["tell", "fail", "refuse", "save", "wait", "nothing"]
OVER = (Phase.ENDED, Phase.GONE)


class Bench(Protocol):
    """A runner of the sweep of `manifest()`, and what a check needs beside it."""

    runner: Runner
    store: Store  # the sweep's own prefix

    def wait(self, key: Key, until: Callable[[Live], bool]) -> Live:
        """Observe an expected attempt until it is so; fails when that takes too long."""


def manifest(name: str = "contract", **trial: Any) -> dict[str, Any]:
    """A sweep whose trials do what their parameter says, with nothing but Python's standard library."""
    container = {"name": "trial", "command": ["python", "-c", SCRIPT]}
    template = {"podTemplate": {"spec": {"containers": [container]}}}
    return {
        "apiVersion": "hypersweep.io/v1alpha1",
        "kind": "HyperSweep",
        "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "loss", "goal": "minimize"}],
            "parameters": [{"name": "do", "choice": DOES}],
            "strategy": {"grid": {}},
            "trial": template | trial,
        },
    }


def spec(**trial: Any) -> api.SweepSpec:
    return api.load(manifest(**trial)).spec


def order(do: str, trial: int = 0) -> Order:
    return Order(trial, 0, Suggestion({"do": do}, seed=1))


def ended(live: Live) -> bool:
    """Whether an attempt is over, and it is known what it left."""
    return live.phase in OVER and live.evidence is not Evidence.UNKNOWN


def shows_what_it_launched_at_once(bench: Bench) -> None:
    bench.runner.launch(order("wait"))

    assert bench.runner.observe([])[0, 0].phase in (Phase.PENDING, Phase.RUNNING)


def starts_an_attempt_once(bench: Bench) -> None:
    bench.runner.launch(order("wait"))
    began = bench.wait((0, 0), lambda live: live.phase is Phase.RUNNING)
    bench.runner.launch(order("wait"))

    assert bench.runner.observe([])[0, 0].created == began.created


def takes_the_numbers_of_a_message_for_the_result(bench: Bench) -> None:
    bench.runner.launch(order("tell"))
    live = bench.wait((0, 0), ended)

    assert live.result is not None
    assert (Exit.COMPLETE, Evidence.THERE, 0.5) == (
        live.exit,
        live.evidence,
        live.result.metrics["loss"].value,
    )


def knows_that_a_silent_attempt_left_nothing(bench: Bench) -> None:
    bench.runner.launch(order("nothing"))
    live = bench.wait((0, 0), ended)

    assert (Exit.COMPLETE, Evidence.ABSENT) == (live.exit, live.evidence)


def says_why_an_attempt_failed(bench: Bench) -> None:
    bench.runner.launch(order("fail"))
    live = bench.wait((0, 0), ended)

    assert (Exit.ERROR, Evidence.ABSENT) == (live.exit, live.evidence)
    assert "exit status 1" in live.cause


def tells_a_bad_configuration_from_an_error(bench: Bench) -> None:
    bench.runner.launch(order("refuse"))

    assert bench.wait((0, 0), ended).exit is Exit.CONFIG


def has_no_trace_of_what_never_started(bench: Bench) -> None:
    live = bench.wait((7, 0), ended)

    assert (Phase.GONE, Evidence.ABSENT) == (live.phase, live.evidence)


def finds_the_result_of_an_attempt_that_is_gone(bench: Bench) -> None:
    result = {"status": "done", "metrics": {"loss": {"value": 0.25}}}
    bench.store.write(f"{contract.attempt_prefix(3, 0)}/{contract.RESULT}", json.dumps(result).encode())
    live = bench.wait((3, 0), ended)

    assert live.result is not None
    assert (Phase.GONE, Evidence.THERE, 0.25) == (
        live.phase,
        live.evidence,
        live.result.metrics["loss"].value,
    )


def ends_what_it_is_asked_to_stop(bench: Bench) -> None:
    bench.runner.launch(order("wait"))
    bench.wait((0, 0), lambda live: live.phase is Phase.RUNNING)
    bench.runner.stop((0, 0))
    between = bench.runner.observe([(0, 0)])[0, 0]
    bench.wait((0, 0), ended)

    assert between.phase in (Phase.STOPPING, *OVER)


def forgets_what_is_recorded(bench: Bench) -> None:
    bench.runner.launch(order("tell"))
    bench.wait((0, 0), ended)
    bench.runner.forget((0, 0))

    assert Phase.GONE is bench.wait((0, 0), lambda live: live.phase is Phase.GONE).phase


CHECKS: list[Callable[[Bench], None]] = [
    shows_what_it_launched_at_once,
    starts_an_attempt_once,
    takes_the_numbers_of_a_message_for_the_result,
    knows_that_a_silent_attempt_left_nothing,
    says_why_an_attempt_failed,
    tells_a_bad_configuration_from_an_error,
    has_no_trace_of_what_never_started,
    finds_the_result_of_an_attempt_that_is_gone,
    ends_what_it_is_asked_to_stop,
    forgets_what_is_recorded,
]
