"""Rows that are streamed come ahead of the step that takes them, since what it takes is known."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hypersweep_trainer import data
from hypersweep_trainer.config import Config
from hypersweep_trainer.data.stream import Streamed, pair
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import built
from tests.trainer.runs import an_environment, train
from tests.trainer.streaming import KINDS, forget

CPU = torch.device("cpu")


class Noted:
    """Rows that know their number, and note who asked for which."""

    shape, dtype, device = (100, 1), torch.int64, CPU

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.threads: set[str] = set()
        self.came = threading.Semaphore(0)

    def select(self, rows: Tensor) -> Tensor:
        self.asked.append(rows.tolist())
        self.threads.add(threading.current_thread().name)
        self.came.release()
        return rows[:, None].clone()

    def hint(self, order: Tensor) -> None:
        pass


def taken(rows: Streamed, *numbers: int) -> list[int]:
    found: list[int] = rows.take(torch.tensor(numbers, dtype=torch.int64))[0][:, 0].tolist()
    return found


def a_stream() -> tuple[Noted, Streamed]:
    noted = Noted()
    return noted, Streamed([noted], pair(), CPU)


def test_the_next_two_batches_are_gathered_before_they_are_wanted_by_a_thread_of_their_own() -> None:
    noted, rows = a_stream()
    rows.hint(torch.arange(9, 0, -1).split(2))
    assert all(noted.came.acquire(timeout=20) for _ in range(2))
    assert [[9, 8], [7, 6]] == noted.asked

    assert [9, 8] == taken(rows, 9, 8)
    assert noted.came.acquire(timeout=20)
    assert [[5, 4]] == noted.asked[2:]
    assert [7, 6] == taken(rows, 7, 6)
    assert noted.came.acquire(timeout=20)
    assert [[3, 2]] == noted.asked[3:]
    assert threading.current_thread().name not in noted.threads


def test_an_epoch_gathers_each_batch_once_whatever_its_size_and_rows_that_stand_in_it_twice() -> None:
    noted, rows = a_stream()
    batches = [[0, 1, 2, 3], [4, 4], [], [0, 5, 6], [7]]
    for _ in range(2):
        rows.hint(torch.tensor(batch, dtype=torch.int64) for batch in batches)
        for batch in batches:
            assert batch == taken(rows, *batch)

    assert batches * 2 == noted.asked


def test_rows_out_of_turn_are_gathered_by_themselves_and_nothing_ahead_is_lost() -> None:
    noted, rows = a_stream()
    rows.hint(torch.arange(8).split(2))
    taken(rows, 0, 1)

    assert [7, 1, 1] == taken(rows, 7, 1, 1)
    assert [2, 3] == taken(rows, 2, 3)
    assert [4, 5] == taken(rows, 4, 5)
    assert all(noted.came.acquire(timeout=20) for _ in range(5))
    assert [[0, 1], [2, 3], [4, 5], [6, 7], [7, 1, 1]] == sorted(noted.asked)


def test_without_a_hint_rows_are_still_those_that_were_asked_for() -> None:
    _, rows = a_stream()

    assert [[5, 3], [], [3]] == [taken(rows, 5, 3), taken(rows), taken(rows, 3)]


def test_what_cannot_be_read_is_told_to_whoever_takes_it() -> None:
    class Broken(Noted):
        def select(self, rows: Tensor) -> Tensor:
            raise OSError("the disk is gone")

    rows = Streamed([Broken()], pair(), CPU)
    rows.hint(torch.arange(4).split(2))

    with pytest.raises(OSError, match="the disk is gone"):
        taken(rows, 0, 1)


# what an epoch and a step take


Seen = list[tuple[str, list[list[int]]]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[int, Seen]:
    """Of each part that was streamed, by its identity, what was hinted and taken, in turn."""
    hint, take, found = Streamed.hint, Streamed.take, defaultdict[int, Seen](list)

    def hinted(rows: Streamed, batches: Iterable[Tensor]) -> None:
        kept = list(batches)
        found[id(rows)].append(("hint", [batch.tolist() for batch in kept]))
        hint(rows, kept)

    def taken(rows: Streamed, numbers: Tensor) -> tuple[Tensor, Tensor]:
        found[id(rows)].append(("take", [numbers.tolist()]))
        return take(rows, numbers)

    monkeypatch.setattr(Streamed, "hint", hinted)
    monkeypatch.setattr(Streamed, "take", taken)
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("table", {"mixup_alpha": 0.4, "grad_accum": 3}),
        ("table", {"swap_noise": 0.1, "grad_accum": 2}),
        ("table", {"sampling": "balanced", "grad_accum": 3}),
        ("images to augment", {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "grad_accum": 5}),
        ("images", {"repeated_augmentation": 3, "mixup_alpha": 0.4, "rotate": 10.0}),
        ("characters", {"batch_size": 4}),
        ("part of the labels", {"pretrain_epochs": 2, "noise": 0.1, "grad_accum": 2}),
    ],
)
def test_all_that_an_epoch_takes_is_known_when_it_begins(
    tmp_path: Path, seen: dict[int, Seen], kind: str, options: dict[str, Any]
) -> None:
    write, more = KINDS[kind]
    given = {"checks": "off", "batch_size": 16, "epochs": 2, "resident": "host", **more, **options}
    assert 0 == train(an_environment(tmp_path, {**given, "data": write(tmp_path)}))

    assert seen
    for steps in seen.values():
        hinted = [batch for kind, batches in steps if kind == "hint" for batch in batches]
        assert hinted == [batch for kind, batches in steps if kind == "take" for batch in batches]
        assert "hint" == steps[0][0]
    forget()


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize(
    "options", [{"grad_accum": 2}, {"mixup_alpha": 0.4}, {"cutmix_alpha": 1.0, "grad_accum": 3}]
)
def test_what_each_rank_takes_is_known_before_its_step(
    world: int, options: dict[str, Any], seen: dict[int, Seen]
) -> None:
    given = {"data": KINDS["own tensors"][0](Path()), "resident": "host", "norm": "none", **options}
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})
    found = data.load(config, CPU)
    config = config.told(found.facts)
    learner = Learner(config, found, Alone(CPU), built(config, found, CPU), 9, 3)
    rows = torch.arange(len(found.train)).flip(0)[:16]
    for rank in range(world):
        share = slice(rank * 16 // world, (rank + 1) * 16 // world)
        expected = learner.taken(rows, share, learner.step)
        before = len(seen[id(found.train)])
        learner.learn(rows, share)

        assert [("take", [batch.tolist()]) for batch in expected] == seen[id(found.train)][before:]
    forget()
