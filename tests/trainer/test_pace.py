"""Pace: how fast a run trains, when it will be over, and the line that says so."""

import math

import pytest
import torch

from hypersweep_trainer.pace import Pace, clock, line, memory


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    shown = [100.0]
    monkeypatch.setattr("hypersweep_trainer.pace.time.monotonic", lambda: shown[0])
    return shown


def test_speed_is_that_of_the_last_steps_without_what_lies_between_them(seconds: list[float]) -> None:
    pace = Pace(7, samples=32)
    assert math.isnan(pace.rate)
    for step, trains, evaluates in ((17, 2, 30), (27, 4, 60)):
        pace.go(step - 10)
        seconds[0] += trains
        pace.measure(step)
        seconds[0] += evaluates

        assert 10 * 32 / trains == pace.rate
    pace.go(27)
    pace.measure(27)
    assert 10 * 32 / 4 == pace.rate  # an epoch that ends with a row within it has no steps of its own


def test_the_time_to_go_is_that_of_the_last_epoch_with_all_it_did(seconds: list[float]) -> None:
    pace = Pace(0, samples=32)
    seconds[0] += 100  # the first steps of a run are slow
    assert 90 * 10 == pace.left(10, 90)
    seconds[0] += 2 + 3

    assert 80 * 0.5 == pace.left(20, 80)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.4, "0:00"),
        (59.7, "1:00"),
        (754, "12:34"),
        (3599.6, "1:00:00"),
        (7980, "2:13:00"),
        (360005, "100:00:05"),
    ],
)
def test_a_long_time_is_told_in_hours(value: float, words: str) -> None:
    assert words == clock(value)


def test_lines_of_a_run_keep_their_columns() -> None:
    shown = ("train_loss", "val_loss", "val_accuracy")
    lines = [
        line(
            {
                "step": step,
                "epoch": epoch,
                "metrics": {"train_loss": loss, "val_f1": 0.5, "val_accuracy": 0.9},
            },
            {"lr": rate, "samples_per_second": speed},
            epochs=12,
            left=100 - epoch,
            shown=shown,
        )
        for epoch, step, loss, rate, speed in (
            (1, 34, 2.14, 1e-3, 900),
            (12, 99408, 0.0912345, 1.64e-8, 87074),
        )
    ]

    assert (
        "epoch 12/12  step 99408   train_loss 0.09123  val_accuracy 0.9      lr 1.64e-08   87074 samples/s"
        "  1:28 to go"
    ) == lines[1]
    for word in ("step", "train_loss", "val_accuracy", "lr", "samples/s"):
        assert 1 == len({one.index(word) for one in lines})


def test_an_epoch_without_steps_of_its_own_has_no_speed() -> None:
    words = line({"step": 9, "epoch": 1, "metrics": {"val_loss": 1.0}}, {"lr": 0.1}, 3, 5.0, ("val_loss",))

    assert "epoch 1/3  step 9       val_loss 1        lr 0.1       0:05 to go" == words


def test_memory_is_what_the_process_holds() -> None:
    before = memory(torch.device("cpu"))
    held = torch.ones(1 << 24)

    assert memory(torch.device("cpu")) - before > 0.9 * 4 * len(held)
