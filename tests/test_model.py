"""The model that a sweep leaves, and those of other sweeps that its trials start from."""

import json
from typing import Any

import pytest

from hypersweep.contract import BEST
from hypersweep.goal import SweepPhase
from hypersweep.journal import Opened
from hypersweep.model import NoModel
from hypersweep.runner import Exit, Metric, Result
from hypersweep.store import StoreError
from hypersweep.trial import Suggestion
from tests.bench import BUILT_IN, Bench, a_built_in
from tests.fakes import FakeStore
from tests.test_automatic import FOUND, an_automatic, finds
from tests.world import World


def the_best(store: FakeStore) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.keys[BEST])
    return found


def by_size(suggestion: Suggestion) -> Result:
    size = suggestion.parameters["batch_size"]
    assert isinstance(size, int)
    return Result(
        "done", {"val_loss": Metric(abs(size - 32) + suggestion.seed % 7), "val_accuracy": Metric(0.5)}
    )


def test_a_sweep_that_succeeds_names_its_best_model() -> None:
    store = FakeStore()
    bench = Bench(a_built_in(), World(by_size), store=store)
    bench.step()
    assert BEST not in store.keys

    step = bench.run()

    best = next(n for n, t in step.plan.history.trials.items() if t.suggestion.parameters["batch_size"] == 32)
    assert {
        "trial": best,
        "attempt": 0,
        "prefix": f"trials/{best:05d}/attempts/0/model",
        "metrics": dict(step.plan.history.trials[best].metrics),
    } == the_best(store)


def test_the_best_model_is_of_the_best_replicate_of_the_best_configuration() -> None:
    store = FakeStore()
    bench = Bench(a_built_in(text=f"{BUILT_IN}  seeds: 3\n"), World(by_size), store=store)

    trials = bench.run().plan.history.trials

    runs = [trial for trial in trials.values() if trial.suggestion.parameters["batch_size"] == 32]
    assert 3 == len(runs)
    assert min(runs, key=lambda trial: trial.metrics["val_loss"]).number == the_best(store)["trial"]


def test_an_iterative_sweep_names_a_model_of_what_it_chose_and_none_of_the_last_comparison() -> None:
    store = FakeStore()
    bench = Bench(an_automatic(FOUND[0]), World(finds), store=store)

    history = bench.run().plan.history

    best = history.trials[the_best(store)["trial"]].suggestion
    assert history.decisions[-1].parameters == best.parameters
    assert not best.final


def test_the_attempt_that_came_to_the_result_left_the_model() -> None:
    store = FakeStore()
    bench = Bench(a_built_in("data: digits, lr: 0.1", seed=0), World(by_size), store=store)
    bench.step()
    bench.world.end((0, 0), Exit.LOST)
    bench.spec = a_built_in("data: digits, lr: 0.1", max_trials=1)

    bench.run()

    assert (0, 1, "trials/00000/attempts/1/model") == tuple(
        the_best(store)[name] for name in ("trial", "attempt", "prefix")
    )


def test_a_sweep_whose_trials_leave_no_model_names_none() -> None:
    without = [
        Bench(a_built_in("data: digits, save_model: false"), World(by_size), store=FakeStore()),
        Bench(store=FakeStore()),
        Bench(a_built_in(), World(lambda _: Result("infeasible")), store=FakeStore()),
    ]

    for bench in without:
        bench.run()
        assert isinstance(bench.store, FakeStore)
        assert {} == bench.store.keys


class Away(FakeStore):
    """A store that does not answer for a while."""

    away = 2

    def write(self, key: str, data: bytes) -> None:
        if self.away:
            self.away -= 1
            raise StoreError("it is away")
        super().write(key, data)


def test_nobody_hears_of_a_success_before_its_model_is_named() -> None:
    store = Away()
    bench = Bench(a_built_in(), World(by_size), store=store)
    with pytest.raises(StoreError, match="away"):
        bench.run()
    bench.restart()
    with pytest.raises(StoreError, match="away"):
        bench.step()

    step = bench.step()

    assert SweepPhase.SUCCEEDED is step.plan.phase
    assert BEST in store.keys


def test_a_sweep_that_goes_on_names_its_best_model_anew() -> None:
    store = FakeStore()
    bench = Bench(a_built_in(max_trials=1), World(by_size), store=store)
    bench.run()
    assert 0 == the_best(store)["trial"]

    bench.spec = a_built_in(max_trials=5)
    bench.run()

    assert 0 != the_best(store)["trial"]


FROM_BASE = "data: digits, pretrained: 'sweep://base/best'"


def test_a_sweep_begins_once_the_model_is_there_that_it_starts_from() -> None:
    bench = Bench(a_built_in(FROM_BASE), World(by_size))
    with pytest.raises(NoModel, match="pretrained: sweep base is not there"):
        bench.step()
    assert [] == bench.journal.segments

    bench.models["base"] = "s3://sweeps/base/model"
    bench.run()

    assert {"s3://sweeps/base/model"} == {order.pretrained for order in bench.world.orders.values()}


def test_a_later_change_of_the_other_sweep_changes_nothing() -> None:
    bench = Bench(a_built_in(FROM_BASE), World(by_size), models={"base": "s3://sweeps/base/model"})
    bench.step()

    bench.models = {"base": "s3://sweeps/another/model"}
    bench.restart()
    bench.run()

    assert {"s3://sweeps/base/model"} == {order.pretrained for order in bench.world.orders.values()}
    assert [{"sweep://base/best": "s3://sweeps/base/model"}] == [fact.models for fact in bench.facts(Opened)]


def test_each_trial_starts_from_the_model_that_it_names() -> None:
    choice = "[{name: pretrained, choice: ['', 'sweep://base/best', 'sweep://other/best']}]"
    text = BUILT_IN.replace("[{name: batch_size, choice: [8, 16, 32, 64, 128]}]", choice)
    models = {"base": "s3://sweeps/1/model", "other": "s3://sweeps/2/model"}
    bench = Bench(
        a_built_in(text=text), World(lambda _: Result("done", {"val_loss": Metric(1.0)})), models=models
    )
    bench.run()

    assert {"": None, "sweep://base/best": models["base"], "sweep://other/best": models["other"]} == {
        order.suggestion.parameters["pretrained"]: order.pretrained for order in bench.world.orders.values()
    }


@pytest.mark.parametrize("name", ["team/base", "Base", "../base", "", "b" * 41])
def test_only_a_sweep_of_the_same_namespace_can_be_named(name: str) -> None:
    spec = a_built_in().model_copy(update={"trainer": {"pretrained": f"sweep://{name}/best"}})

    with pytest.raises(NoModel, match="must have the form sweep://NAME/best"):
        Bench(spec, World(by_size)).step()
