"""The runner of this machine: processes, their ends, and that none outlives the one that started it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hypersweep import api, contract, drive, evidence, place, run
from hypersweep.goal import SweepPhase
from hypersweep.local import LocalRunner, Place
from hypersweep.model import NoModel
from hypersweep.pool import Pool
from hypersweep.process import Guard, Tail
from hypersweep.reconcile import Step
from hypersweep.runner import Evidence, Exit, Key, Live, Order, Phase
from hypersweep.store import Store, StoreError, open_store
from hypersweep.trial import Suggestion
from tests import fake_trainer, runner_contract
from tests.alive import is_running
from tests.runner_contract import ended, order

PATIENCE = 60.0  # seconds: only a failing test waits that long


@dataclass
class LocalBench:
    runner: LocalRunner
    store: Store
    alarm: drive.Alarm

    def wait(self, key: Key, until: Callable[[Live], bool]) -> Live:
        deadline = time.monotonic() + PATIENCE
        while not until(live := self.runner.observe([key])[key]):
            assert time.monotonic() < deadline, live
            self.alarm.wait(1.0)
        return live

    def run(self, order: Order) -> Live:
        self.runner.launch(order)
        return self.wait((order.trial, order.attempt), ended)

    def log(self, key: Key) -> str:
        self.runner.close()
        return (self.store.read(f"{contract.attempt_prefix(*key)}/{contract.LOG}") or b"").decode()


Benches = Callable[[api.SweepSpec], LocalBench]


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Benches]:
    """Makes a bench of any sweep; everything that it started is dead afterwards."""
    made: list[tuple[LocalRunner, Pool, Guard]] = []

    def bench(spec: api.SweepSpec) -> LocalBench:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        guard = Guard(scratch)
        pool = Pool(guard, fake_trainer.__name__)
        alarm = drive.Alarm()
        store = open_store(str(tmp_path / "store"))
        place = Place(store, tmp_path, scratch, {"PATH": os.environ["PATH"], "HYPERSWEEP_SEED": "another"})
        runner = LocalRunner(spec, "sweep", "uid", place, guard, pool, alarm.ring)
        made.append((runner, pool, guard))
        return LocalBench(runner, store, alarm)

    yield bench
    for runner, pool, guard in made:
        runner.close()
        pool.close()
        guard.close()


@pytest.mark.parametrize("check", runner_contract.CHECKS)
def test_a_local_runner_keeps_the_contract(
    check: Callable[[runner_contract.Bench], None], benches: Benches
) -> None:
    check(benches(runner_contract.spec()))


def a_command(*argv: str, env: dict[str, str] | None = None, **trial: Any) -> api.SweepSpec:
    container = {
        "name": "trial",
        "command": list(argv),
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
    }
    return runner_contract.spec(podTemplate={"spec": {"containers": [container]}}, **trial)


def a_script(text: str, **more: Any) -> api.SweepSpec:
    return a_command("python", "-c", text, **more)


READY = "open(os.environ['HYPERSWEEP_TERMINATION_LOG'], 'w').write('{\"loss\": 1}')"


# -- commands


def test_variables_in_a_command_line_are_expanded_as_on_kubernetes(benches: Benches) -> None:
    bench = benches(a_command("echo", "$(HYPERSWEEP_PARAM_DO)", "$$(HOME)", "$(UNKNOWN)"))
    bench.run(order("tell"))

    assert "tell $(HOME) $(UNKNOWN)\n" == bench.log((0, 0))


def test_a_container_s_variables_may_hold_those_before_them(benches: Benches) -> None:
    bench = benches(
        a_command("echo", "$(SECOND)", env={"FIRST": "$(HYPERSWEEP_SEED)", "SECOND": "<$(FIRST)>"})
    )
    bench.run(order("tell"))

    assert "<1>\n" == bench.log((0, 0))


def test_a_command_runs_in_the_folder_of_its_manifest(benches: Benches, tmp_path: Path) -> None:
    bench = benches(a_command("pwd"))
    bench.run(order("tell"))

    assert f"{tmp_path}\n" == bench.log((0, 0))


def test_python_is_the_one_that_runs_the_sweep(benches: Benches) -> None:
    bench = benches(a_script("import sys; print(sys.prefix)"))
    bench.run(order("tell"))

    assert f"{sys.prefix}\n" == bench.log((0, 0))


def test_the_path_of_a_container_s_message_means_the_attempt_s_own_file(benches: Benches) -> None:
    live = benches(a_command("sh", "-c", "echo '{\"loss\": 2}' > /dev/termination-log")).run(order("tell"))

    assert live.result is not None
    assert 2.0 == live.result.metrics["loss"].value


def test_a_command_that_is_not_there_is_an_error_that_names_it(benches: Benches) -> None:
    live = benches(a_command("no-such-program")).run(order("tell"))

    assert (Exit.ERROR, "exit status 127: cannot run 'no-such-program': No such file or directory") == (
        live.exit,
        live.cause,
    )


def test_a_killed_process_is_an_error_and_not_a_lost_node(benches: Benches) -> None:
    live = benches(a_script("import os; os.kill(os.getpid(), 9)")).run(order("tell"))

    assert (Exit.ERROR, "killed by SIGKILL") == (live.exit, live.cause)


def test_a_process_that_somebody_asked_to_end_is_lost(benches: Benches) -> None:
    live = benches(a_script("import os; os.kill(os.getpid(), 15)")).run(order("tell"))

    assert Exit.LOST is live.exit


def test_a_process_that_saves_when_asked_to_stop_has_left_a_checkpoint(benches: Benches) -> None:
    waits = f"import os, signal, sys; signal.signal(15, lambda *_: sys.exit(75)); {READY}; signal.pause()"
    bench = benches(a_script(waits))
    bench.runner.launch(order("save"))
    bench.wait((0, 0), lambda live: bool(live.progress))
    bench.runner.stop((0, 0))

    assert Exit.CHECKPOINTED is bench.wait((0, 0), ended).exit


def test_the_message_so_far_is_the_progress_of_a_script(benches: Benches) -> None:
    bench = benches(a_script(f"import os, signal; {READY}; signal.pause()"))
    bench.runner.launch(order("wait"))

    assert {"loss": 1.0} == bench.wait((0, 0), lambda live: bool(live.progress)).progress


def test_a_trial_that_cannot_be_heard_is_not_silent(
    benches: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches(a_script(f"import os, signal; {READY}; signal.pause()"))
    bench.runner.launch(order("wait"))
    before = bench.wait((0, 0), lambda live: bool(live.progress)).progressed
    assert before is not None

    def lost(*_: Any) -> None:
        raise StoreError("it is away")

    monkeypatch.setattr(evidence, "progress", lost)

    assert bench.wait((0, 0), lambda live: live.progressed is not None and live.progressed > before)


def test_an_attempt_that_takes_too_long_is_ended(benches: Benches) -> None:
    live = benches(a_script("import signal; signal.pause()", timeout="1s")).run(order("wait"))

    assert (Exit.TIMEOUT, Evidence.ABSENT) == (live.exit, live.evidence)


def test_who_does_not_end_when_asked_is_killed_after_its_grace(benches: Benches) -> None:
    deaf = f"import os, signal; signal.signal(15, signal.SIG_IGN); {READY}\nwhile True: signal.pause()"
    container = {"name": "trial", "command": ["python", "-c", deaf]}
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    bench = benches(runner_contract.spec(podTemplate=template))
    bench.runner.launch(order("wait"))
    bench.wait((0, 0), lambda live: bool(live.progress))
    bench.runner.stop((0, 0))

    assert "killed by SIGKILL" == bench.wait((0, 0), ended).cause


def test_what_a_command_leaves_running_is_killed_with_it(benches: Benches) -> None:
    bench = benches(a_command("sh", "-c", "sleep 1000 & echo $!"))
    bench.run(order("tell"))
    child = int(bench.log((0, 0)))

    assert not is_running(child)


def test_only_the_end_of_a_long_output_is_kept() -> None:
    tail = Tail(limit=4)
    for part in (b"one\n", b"two\n", b"three\n"):
        tail.add(part)

    assert (b"ree\n", "ree") == (tail.data, tail.last_line)


# -- several nodes


def test_each_node_is_a_process_that_knows_its_rank(benches: Benches) -> None:
    shows = "import os; print(*(os.environ[n] for n in ('PET_NODE_RANK', 'PET_NNODES', 'PET_MASTER_ADDR')))"
    bench = benches(a_script(shows, nodes=2))
    bench.run(order("tell"))

    assert ["0 2 127.0.0.1", "1 2 127.0.0.1"] == sorted(bench.log((0, 0)).splitlines())


def test_the_first_node_that_fails_ends_the_others(benches: Benches) -> None:
    text = "import os, signal, sys; sys.exit(3) if os.environ['PET_NODE_RANK'] == '1' else signal.pause()"
    live = benches(a_script(text, nodes=2)).run(order("wait"))

    assert (Exit.ERROR, "exit status 3") == (live.exit, live.cause)


# -- the built-in trainer, in workers


def built_in(**trial: Any) -> api.SweepSpec:
    """A sweep of the built-in trainer; the fake one of the tests takes its place and obeys `do`."""
    document = runner_contract.manifest()
    document["spec"]["trial"] = trial
    document["spec"]["parameters"] = [{"name": "lr", "float": {"min": 0.1, "max": 1}}]
    document["spec"]["strategy"] = {"list": [{"lr": 0.1}]}
    document["spec"]["objectives"] = [{"metric": "val_loss", "goal": "minimize"}]
    return api.load(document).spec


def a_turn(do: str, trial: int, **parameters: Any) -> Order:
    return Order(trial, 0, Suggestion({"do": do, **parameters}, seed=1))


def worker_of(live: Live) -> float:
    assert live.result is not None, live
    return live.result.metrics["worker"].value


def test_trials_take_turns_in_one_worker(benches: Benches) -> None:
    bench = benches(built_in())
    first, second = (worker_of(bench.run(a_turn("tell", trial))) for trial in (0, 1))

    assert first == second


def test_after_a_crash_another_worker_takes_over(benches: Benches) -> None:
    bench = benches(built_in())
    first = worker_of(bench.run(a_turn("tell", 0)))
    crash = bench.run(a_turn("crash", 1))
    second = worker_of(bench.run(a_turn("tell", 2)))

    assert (Exit.ERROR, "killed by SIGSEGV: last words") == (crash.exit, crash.cause)
    assert first != second


def test_other_threads_are_another_worker(benches: Benches) -> None:
    bench = benches(built_in())
    first, second = (worker_of(bench.run(a_turn("tell", n, threads=1 + n))) for n in (0, 1))

    assert first != second


def test_a_stopped_turn_leaves_its_worker_for_the_next(benches: Benches) -> None:
    bench = benches(built_in())
    first = worker_of(bench.run(a_turn("tell", 0)))
    bench.runner.launch(a_turn("save", 1))
    bench.wait((1, 0), lambda live: live.phase is Phase.RUNNING)
    bench.runner.stop((1, 0))
    stopped = bench.wait((1, 0), ended)

    assert Exit.CHECKPOINTED is stopped.exit
    assert first == worker_of(bench.run(a_turn("tell", 2)))


def test_a_trial_that_left_something_going_on_was_its_worker_s_last(benches: Benches) -> None:
    bench = benches(built_in())
    lingering, first, second = (
        worker_of(bench.run(a_turn(do, n))) for n, do in enumerate(("linger", "tell", "tell"))
    )

    assert lingering != first == second


def test_a_stop_before_the_worker_is_ready_is_not_lost(benches: Benches) -> None:
    bench = benches(built_in())
    bench.runner.launch(a_turn("save", 0))
    bench.runner.stop((0, 0))

    assert Exit.CHECKPOINTED is bench.wait((0, 0), ended).exit


def test_a_turn_that_takes_too_long_is_ended(benches: Benches) -> None:
    assert Exit.TIMEOUT is benches(built_in(timeout="1s")).run(a_turn("save", 0)).exit


def test_what_a_turn_prints_is_its_own_log(benches: Benches) -> None:
    bench = benches(built_in())
    bench.run(a_turn("tell", 0))
    crash = bench.run(a_turn("crash", 1))

    assert "last words\n" == bench.log(crash.key)


# -- whole sweeps of the built-in trainer


class Quiet:
    def show(self, step: Step) -> None:
        pass

    def say(self, text: str) -> None:
        raise AssertionError(text)


def swept(folder: Path, name: str, does: str = "tell", **spec: Any) -> Step:
    """A sweep of one configuration that ran to its end, the fake trainer in place of the built-in one."""
    document = {
        "objectives": [{"metric": "val_loss", "goal": "minimize"}],
        "strategy": {"list": [{"do": does}]},
        "parallelism": 2,
    }
    sweep = api.HyperSweep.model_validate({"metadata": {"name": name}, "spec": document | spec})
    root = str(folder / "runs")
    store = place.own_store(root, name)
    with run.local(sweep, store, folder, place.lock(store), fake_trainer.__name__, root) as here:
        return drive.drive(here.sweep, sweep.spec, here.alarm, Quiet())


def told(folder: Path, name: str, trial: int = 0) -> dict[str, str]:
    """The environment of a trial's first attempt."""
    data = place.own_store(str(folder / "runs"), name).read(
        f"{contract.attempt_prefix(trial, 0)}/{contract.ENVIRONMENT}"
    )
    found: dict[str, str] = json.loads(data or b"{}")
    return found


def test_the_model_of_one_sweep_is_the_start_of_another(tmp_path: Path) -> None:
    swept(tmp_path, "base")
    swept(tmp_path, "tuned", trainer={"pretrained": "sweep://base/best"})

    model = f"{(tmp_path / 'runs' / 'base').as_uri()}/trials/00000/attempts/0/model"
    assert model == told(tmp_path, "tuned")[contract.ENV_PRETRAINED]
    assert contract.ENV_PRETRAINED not in told(tmp_path, "base")


def test_a_sweep_that_starts_from_none_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match="sweep base must have run here"):
        swept(tmp_path, "tuned", trainer={"pretrained": "sweep://base/best"})

    swept(tmp_path, "base", "fail")
    with pytest.raises(NoModel, match="sweep base must have left a best model"):
        swept(tmp_path, "tuned", trainer={"pretrained": "sweep://base/best"})


def test_what_the_first_replicate_finds_is_given_to_the_others(tmp_path: Path) -> None:
    swept(tmp_path, "seeds", seeds=3, trainer={"lr": "auto"})
    found = [told(tmp_path, "seeds", trial).get(contract.ENV_RESOLVED) for trial in range(3)]

    assert [None, '{"lr": 0.25}', '{"lr": 0.25}'] == found


def test_the_first_trial_runs_the_checks_of_a_sweep_and_may_end_it(tmp_path: Path) -> None:
    passed = swept(tmp_path, "good", seeds=2, trainer={"checks": "stop"})
    failed = swept(tmp_path, "bad", "fail", seeds=2, trainer={"checks": "stop"})

    assert ["all", None] == [told(tmp_path, "good", trial).get(contract.ENV_CHECKS) for trial in (0, 1)]
    assert (SweepPhase.SUCCEEDED, SweepPhase.FAILED) == (passed.plan.phase, failed.plan.phase)
    assert ("ChecksFailed", "gap: leak", 1) == (
        failed.plan.reason,
        failed.plan.message,
        failed.plan.history.launched,
    )


# -- death of the sweep's own process


def test_the_guard_kills_what_it_watches_when_its_owner_is_gone(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    guard = Guard(scratch)
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    reaper = threading.Thread(target=child.wait)
    reaper.start()
    guard.watch(child.pid)
    guard.close()
    reaper.join()

    assert (-signal.SIGKILL, False) == (child.returncode, scratch.exists())
