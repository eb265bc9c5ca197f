"""The checks of a course: the gap to validation, losses that diverge, losses that stall."""

import math
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hypersweep_trainer import check
from hypersweep_trainer.check import course, sample
from hypersweep_trainer.data import load, read, split
from hypersweep_trainer.data.view import evaluation
from tests.trainer.checking import CPU, a_config, a_trial, built
from tests.trainer.runs import rows


def test_the_gap_between_training_and_validation_has_a_name(tmp_path: Path) -> None:
    by_heart = {"subset_fraction": 0.15, "epochs": 40, "batch_size": 8, "lr": 1e-2, "weight_decay": 0.01}
    over = a_trial(tmp_path / "over", data="wine", **by_heart)
    under = a_trial(tmp_path / "under", data="iris", epochs=1, lr=1e-8)

    assert ["hint", "overfit"] == [over["checks"]["gap"]["verdict"], _last(over["checks"]["gap"])]
    assert over["checks"]["gap"]["found"] > 0.5
    assert "underfit?" in under["checks"]["gap"]["words"]
    assert under["checks"]["gap"]["found"] < 0.02


def _last(verdict: dict[str, Any]) -> str:
    return str(verdict["words"]).rpartition(" ")[2]


def test_validation_rows_that_are_easier_than_training_rows_are_a_leak() -> None:
    config = a_config(data="digits", width=16)
    data = load(config, CPU)
    network = built(config, data)
    found = course.gap(network, config.options, data, 1.0, CPU)

    assert "fail" == found["verdict"]
    assert "leak?" in found["words"]


def test_a_run_whose_validation_rows_were_learned_is_told_as_a_leak(tmp_path: Path) -> None:
    """All that validates is a copy of rows that train, beside others whose classes are drawn by lot."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 600)
    parts = split.rows(600, labels, a_config(data="breast_cancer").options, 1.0)
    x = random.standard_normal((600, 4))
    known = parts.train[:100]
    x[known, 0] = 4 * (2 * labels[known] - 1)
    for row in parts.val:
        x[row] = x[random.choice(known[labels[known] == labels[row]])]
    path = tmp_path / "rows.csv"
    path.write_text(
        "a,b,c,d,y\n" + "".join(f"{','.join(map(str, x[row]))},{'mn'[labels[row]]}\n" for row in range(600))
    )
    found = a_trial(tmp_path / "run", data=str(path), epochs=10, lr=1e-2)["checks"]["gap"]

    assert "fail" == found["verdict"], found["words"]
    assert "leak?" in found["words"]


@pytest.mark.parametrize("noise", [{"dropout": 0.8}, {"mixup_alpha": 1.0}])
def test_noise_in_training_is_not_taken_for_a_leak(tmp_path: Path, noise: dict[str, float]) -> None:
    result = a_trial(tmp_path, **noise, lr=3e-3)
    last = rows(tmp_path)[-1]["metrics"]

    assert last["train_loss"] > last["val_loss"]
    assert "fail" != result["checks"]["gap"]["verdict"]


@pytest.mark.parametrize("augmented", [{}, {"random_resized_crop": 0.1}])
def test_the_gap_is_that_of_one_view_of_all_images(augmented: dict[str, float]) -> None:
    """Evaluation of training rows is as if they were validation rows, whatever training sees of them."""
    config = a_config(data="digits", model="cnn", width=4, test_crop=0.6, test_size=10, **augmented)
    data, places = load(config, CPU), torch.arange(0, 1079, 100)
    x, y = sample.judged(data, places)
    raw = read(replace(config.options, task="image", target="classification"))
    train = split.rows(len(raw.labels), raw.labels, config.options, 1.0).train
    assert isinstance(raw.pixels, np.ndarray)
    expected = evaluation(data.encoding, CPU)(torch.from_numpy(raw.pixels[train[places]]))

    assert (11, 1, 10, 10) == x.shape
    torch.testing.assert_close(expected, x)
    assert torch.equal(data.train.take(places)[1], y)


def test_a_text_that_ends_easier_than_it_began_is_no_failure(tmp_path: Path) -> None:
    """Blocks of a text are no rows drawn at random; here it ends with what it said before."""
    source = Path(textwrap.__file__).read_text()[:12_000]
    noise = "".join(map(chr, torch.randint(33, 127, (12_000,), generator=torch.Generator().manual_seed(0))))
    path = tmp_path / "text.txt"
    path.write_text(source + noise + source)
    options = {"data": str(path), "context": 64, "width": 32, "depth": 1, "test_fraction": 0.0, "lr": 1e-2}
    found = a_trial(tmp_path / "run", batch_size=16, **options)["checks"]["gap"]

    assert "hint" == found["verdict"]
    assert "the end of the text" in found["words"]


def test_a_rate_ten_times_too_high_diverges_and_a_thousandth_stalls(tmp_path: Path) -> None:
    plain = {"data": "diabetes", "optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "dropout": 0.0}
    plain |= {"batch_size": 8, "epochs": 6, "momentum": 0.0}
    runs = {rate: a_trial(tmp_path / str(rate), **plain, lr=rate) for rate in (1e-8, 0.03, 0.3)}
    slow, healthy, fast = runs.values()

    assert ["done", "done", "infeasible"] == [run["status"] for run in (slow, healthy, fast)]
    assert ["hint", "ok"] == [run["checks"]["stalled"]["verdict"] for run in (slow, healthy)]
    assert ["ok", "ok", "hint"] == [run["checks"]["diverged"]["verdict"] for run in (slow, healthy, fast)]
    assert fast["reason"].startswith("diverged: train_loss is ") or "is not finite" in fast["reason"]
    assert fast["reason"].removeprefix("diverged: ") == fast["checks"]["diverged"]["words"]


def test_a_loss_above_that_of_the_start_is_a_divergence_once_there_were_some_steps() -> None:
    metrics = {"train_loss": 3.6, "val_loss": 1.0}

    assert "" == check.trouble(metrics, 2.3, 49, 1)
    assert "" == check.trouble({**metrics, "train_loss": 3.4}, 2.3, 1000, 9)
    assert "" == check.trouble(metrics, math.inf, 1000, 9)
    assert check.trouble(metrics, 2.3, 50, 2).startswith(
        "diverged: train_loss is 3.6 after step 50 (epoch 2)"
    )
    assert "val_loss is not finite after step 7 (epoch 1)" == check.trouble(
        {**metrics, "val_loss": math.nan}, 2.3, 7, 1
    )


def test_a_start_that_is_worse_than_a_guess_is_no_divergence() -> None:
    config = a_config(data="digits")
    data = load(config, CPU)

    assert 9.0 == check.start_of(config, data, {"first_loss": {"found": 9.0}}, CPU)
    assert pytest.approx(math.log(10)) == check.start_of(config, data, {"first_loss": {"found": 2.0}}, CPU)
    assert pytest.approx(math.log(10)) == check.start_of(config, data, {}, CPU)
