"""Values that configurations find for themselves: once, whatever ends first and whoever restarts."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from hypersweep.api import SweepSpec
from hypersweep.journal import Ended, Launched
from hypersweep.runner import Exit, Metric, Phase, Result
from hypersweep.trial import Suggestion
from tests.bench import Bench, a_spec
from tests.world import Fault, World

PARAMETERS = "parameters: [{name: depth, int: {min: 1, max: 6}, start: 2}, "
DROPOUT = "{name: dropout, choice: [0.0, 0.1, 0.2], start: 0.1}]"
STAGES = "[{parameters: [dropout]}, {parameters: [depth]}]"
FOUND = [
    f"{PARAMETERS}{DROPOUT}\n  strategy: {{iterative: {{stages: {STAGES}, final: {{seeds: 2}}}}}}",
    f"{PARAMETERS}{DROPOUT}\n  seeds: 3\n  strategy: {{grid: {{}}}}",
    f"{PARAMETERS}{DROPOUT}\n  seeds: 3\n  maxTrials: 20\n  strategy: {{random: {{}}}}",
    "seeds: 3\n  strategy: {list: [{depth: 1, dropout: 0.0}, {depth: 2, dropout: 0.0}]}",
]


def an_automatic(text: str) -> SweepSpec:
    return a_spec(
        f"""
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {{name: automatic}}
spec:
  objectives: [{{metric: val_loss, goal: minimize}}]
  {text}
  parallelism: 4
  trainer: {{data: digits, lr: auto, batch_size: auto}}
"""
    )


def finds(suggestion: Suggestion) -> Result:
    """What it finds depends on everything, so that no two runs of one configuration agree by chance."""
    depth, dropout = suggestion.parameters["depth"], suggestion.parameters["dropout"]
    rng = Random(f"{suggestion.seed}:{depth}:{dropout}")
    resolved = {"lr": rng.random(), "batch_size": 32, "depth": depth, "optimizer": "adamw"}
    if depth == 6 and suggestion.replicate == 0:  # a range test that comes to nothing
        return Result("infeasible", reason="diverged", resolved={"lr": "auto", "batch_size": "auto"})
    assert isinstance(depth, int)
    loss = abs(depth - 4) + rng.gauss(0, 0.05)
    return Result("done", {"val_loss": Metric(loss)}, resolved=resolved)


def each_is_found_once(bench: Bench) -> Counter[bool]:
    """Replicates come after their replicate 0, with its values; how many came with and without."""
    found: dict[str, Any] = {}
    handed: Counter[bool] = Counter()
    suggestions: dict[int, Suggestion] = {}
    for fact in bench.facts(object):
        if isinstance(fact, Launched) and fact.suggestion is not None:
            suggestion = suggestions[fact.trial] = fact.suggestion
            if suggestion.replicate:
                assert found[suggestion.configuration] == suggestion.resolved
                handed[suggestion.resolved is not None] += 1
        elif isinstance(fact, Ended) and fact.final and suggestions[fact.trial].replicate == 0:
            assert fact.resolved.keys() <= {"lr", "batch_size"}
            found[suggestions[fact.trial].configuration] = fact.resolved or None
    return handed


@pytest.mark.parametrize("text", FOUND)
def test_what_replicate_0_finds_holds_for_the_others_in_any_order_and_over_restarts(text: str) -> None:
    expected = Bench(an_automatic(text), World(finds))
    expected.run()
    assert each_is_found_once(expected)[True] >= 4

    for seed in range(4):
        bench = Bench(an_automatic(text), World(finds, Random(seed)))
        bench.run(restart=True)

        each_is_found_once(bench)
        assert expected.outcome() == bench.outcome()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("port", ["journal", "world"])
def test_a_kill_at_any_write_hands_on_the_same_values(port: str, after: bool) -> None:
    undisturbed = Bench(an_automatic(FOUND[0]), World(finds))
    undisturbed.run()

    for at in range(1, len(undisturbed.journal.segments) + 1, 5):
        bench = Bench(an_automatic(FOUND[0]), World(finds))
        getattr(bench, port).fault = Fault(at, after)
        bench.run()

        each_is_found_once(bench)
        assert undisturbed.outcome() == bench.outcome()


def test_a_replicate_waits_while_its_replicate_0_may_be_tried_again() -> None:
    stages = FOUND[0].replace(PARAMETERS, "parameters: [").replace(", {parameters: [depth]}", "")
    spec = an_automatic(stages).model_copy(update={"parallelism": 9})
    bench = Bench(spec, World(finds))
    bench.step()
    bench.world.live[0, 0] = replace(bench.world.live[0, 0], phase=Phase.RUNNING, progress={"val_loss": 1.0})
    bench.step()
    assert [0, 0, 0] == [order.suggestion.replicate for order in bench.world.orders.values()]

    bench.world.end((0, 0), Exit.ERROR)
    bench.step()
    assert [(0, 0), (1, 0), (2, 0), (0, 1)] == bench.world.starts


def test_replicates_find_their_own_where_replicate_0_came_to_nothing() -> None:
    bench = Bench(
        an_automatic(FOUND[0].replace("max: 6", "max: 3")),
        World(lambda suggestion: replace(finds(suggestion), resolved={})),
    )
    bench.run()

    assert {False} == set(each_is_found_once(bench))


def test_a_further_attempt_of_a_replicate_gets_the_same_values() -> None:
    bench = Bench(an_automatic(FOUND[3]), World(finds))
    while not (replicates := [k for k, o in bench.world.orders.items() if o.suggestion.replicate]):
        bench.world.tick()
        bench.step()
    (trial, first), *_ = replicates
    bench.restart()
    bench.world.end((trial, first), Exit.LOST)
    bench.step()

    again = bench.world.orders[trial, 1].suggestion
    assert again.resolved is not None
    assert bench.world.orders[trial, first].suggestion.resolved == again.resolved
