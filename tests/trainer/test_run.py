"""One trial in one process: what it leaves behind, how it ends, and that it goes on exactly where it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.options import OPTIONS
from tests.trainer.runs import an_environment, checkpoints, curve, left, message, rows, stop_after, train

EVERY_EPOCH = {"checkpoint_seconds": 0}
NOISY = {"dropout": 0.3, "norm": "batch", **EVERY_EPOCH}
OBJECTIVE = json.dumps([{"metric": "val_accuracy", "goal": "maximize", "at": "mean:2"}])


def test_a_trial_leaves_metrics_progress_log_environment_and_a_result(tmp_path: Path) -> None:
    code = train(an_environment(tmp_path, HYPERSWEEP_OBJECTIVES=OBJECTIVE, HYPERSWEEP_SEED="7"))

    result, accuracy = (
        left(tmp_path, "result.json"),
        [row["metrics"]["val_accuracy"] for row in rows(tmp_path)],
    )
    assert 0 == code
    assert ("done", 27, None, "") == tuple(
        result[key] for key in ("status", "steps", "resumedFrom", "reason")
    )
    assert {
        "last": accuracy[2],
        "best": max(accuracy),
        "bestStep": 9 * (1 + accuracy.index(max(accuracy))),
        "bestEpoch": 1 + accuracy.index(max(accuracy)),
        "standardError": pytest.approx((accuracy[2] * (1 - accuracy[2]) / 359) ** 0.5, rel=0.01),
        "value": pytest.approx((accuracy[1] + accuracy[2]) / 2),
    } == result["metrics"]["val_accuracy"]
    assert {"train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy", "val_f1"} == set(
        result["metrics"]
    )
    assert (16, 7, OPTIONS["lr"].default) == tuple(result["resolved"][key] for key in ("width", "seed", "lr"))
    assert [9, 18, 27] == [row["step"] for row in rows(tmp_path)]
    assert rows(tmp_path)[-1]["metrics"] == left(tmp_path, "progress.json")["metrics"]
    assert 3 == (tmp_path / "attempts/0/log.txt").read_text().count("val_accuracy")
    assert torch.__version__ == left(tmp_path, "environment.json")["torch"]
    assert result["metrics"]["val_accuracy"]["value"] == json.loads(message(tmp_path))["val_accuracy"]


def test_a_trial_without_a_store_still_tells_its_metrics(tmp_path: Path) -> None:
    environment = an_environment(tmp_path)
    del environment["HYPERSWEEP_STORE"]

    assert 0 == train(environment)
    assert {"train_loss", "val_loss", "val_accuracy"} < set(json.loads(message(tmp_path)))


def test_a_regression_reports_errors_in_the_units_of_its_target(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {"data": "diabetes", "epochs": 20, "batch_size": 32}))

    metrics = rows(tmp_path)[-1]["metrics"]
    data = load(Config.read({"HYPERSWEEP_TRAINER": '{"data": "diabetes"}'}), torch.device("cpu"))
    variance = float(data.val.y.double().var(correction=0)) * data.scaling.scale**2
    assert pytest.approx(1 - metrics["val_rmse"] ** 2 / variance) == metrics["val_r2"]
    assert 40 < metrics["val_mae"] < metrics["val_rmse"] < 75


def test_the_test_split_is_measured_in_the_final_stage_alone(tmp_path: Path) -> None:
    train(an_environment(tmp_path / "search"))
    train(an_environment(tmp_path / "final", HYPERSWEEP_FINAL="1"))

    assert "test_accuracy" not in left(tmp_path / "search", "result.json")["metrics"]
    assert 0.2 < left(tmp_path / "final", "result.json")["metrics"]["test_accuracy"]["value"] <= 1


def test_digits_reaches_its_bar_with_the_defaults_and_misses_it_from_a_poor_start(tmp_path: Path) -> None:
    for name, options in {"default": {}, "poor": {"lr": 1e-4}}.items():
        environment = an_environment(tmp_path / name, HYPERSWEEP_SEED="1")
        train({**environment, "HYPERSWEEP_TRAINER": json.dumps(options)})

    accuracy = {
        name: left(tmp_path / name, "result.json")["metrics"]["val_accuracy"]["best"]
        for name in ("default", "poor")
    }
    assert accuracy["default"] >= 0.975
    assert accuracy["poor"] < 0.95


@pytest.mark.parametrize("options", [{}, {"model": "cnn", "width": 4}], ids=["mlp", "cnn"])
@pytest.mark.parametrize("calls", [1, 9, 14])
def test_a_stopped_trial_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, calls: int, options: dict[str, Any]
) -> None:
    options = {**NOISY, **options}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(an_environment(whole, options))

    assert 75 == train(an_environment(broken, options), stop_after(calls))
    assert not (broken / "attempts/0/result.json").exists()
    assert 0 == train(an_environment(broken, options, attempt=1))
    assert calls == left(broken, "result.json", 1)["resumedFrom"]
    assert curve(whole) == curve(broken, 0, 1)
    assert left(whole, "result.json")["metrics"] == left(broken, "result.json", 1)["metrics"]


def test_a_trial_goes_on_from_any_earlier_attempt_and_from_no_other_configuration(tmp_path: Path) -> None:
    train(an_environment(tmp_path, EVERY_EPOCH), stop_after(5))
    train(an_environment(tmp_path, EVERY_EPOCH, attempt=1), stop_after(1))
    train(an_environment(tmp_path, EVERY_EPOCH, attempt=3))
    train(an_environment(tmp_path, {**EVERY_EPOCH, "lr": 0.01}, attempt=4))

    assert 6 == left(tmp_path, "result.json", 3)["resumedFrom"]
    assert left(tmp_path, "result.json", 4)["resumedFrom"] is None


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_is_used(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(an_environment(whole, NOISY))
    train(an_environment(broken, NOISY), stop_after(14))
    train(an_environment(broken, NOISY, attempt=1), stop_after(3))
    newest = checkpoints(broken, 1)[-1].with_suffix(".pt")
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    train(an_environment(broken, NOISY, attempt=2))

    assert 14 == left(broken, "result.json", 2)["resumedFrom"]
    assert left(whole, "result.json")["metrics"] == left(broken, "result.json", 2)["metrics"]


@pytest.mark.parametrize("remains", [b"", b"{", b"[]", b'{"identity": 3}'])
def test_what_is_no_checkpoint_is_passed_over(tmp_path: Path, remains: bytes) -> None:
    folder = tmp_path / "attempts/0/checkpoints"
    folder.mkdir(parents=True)
    (folder / "000000000009-000001-x.json").write_bytes(remains)

    assert 0 == train(an_environment(tmp_path, attempt=1))


def test_few_checkpoints_are_kept(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**EVERY_EPOCH, "epochs": 12}))

    assert 1 <= len(checkpoints(tmp_path)) <= 2
    assert 2 * len(checkpoints(tmp_path)) == len(list((tmp_path / "attempts/0/checkpoints").iterdir()))


def test_a_long_epoch_is_saved_in_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypersweep_trainer.loop.LONG", -1)
    train(an_environment(tmp_path), stop_after(13))
    (checkpoints(tmp_path)[-1]).unlink()  # the one of the stop itself
    before = json.loads(checkpoints(tmp_path)[-1].read_text())["step"]
    train(an_environment(tmp_path, attempt=1))
    train(an_environment(tmp_path / "whole"))

    assert before < 13
    assert before == left(tmp_path, "result.json", 1)["resumedFrom"]
    assert left(tmp_path / "whole", "result.json")["metrics"] == left(tmp_path, "result.json", 1)["metrics"]


def test_a_stop_that_nothing_can_keep_is_not_called_a_checkpoint(tmp_path: Path) -> None:
    environment = an_environment(tmp_path)
    del environment["HYPERSWEEP_STORE"]

    assert 143 == train(environment, stop_after(4))
    assert "nothing could be saved" in message(tmp_path)


def test_divergence_is_a_result_and_not_a_failure(tmp_path: Path) -> None:
    options = {"optimizer": "sgd", "lr": 10, "norm": "none", "data": "diabetes", "activation": "relu"}
    code = train(an_environment(tmp_path, {**options, "momentum": 0.99, "warmup": 0, "epochs": 30}))

    result = left(tmp_path, "result.json")
    assert 0 == code
    assert "infeasible" == result["status"]
    assert "is not finite after step" in result["reason"]
    assert "nan" == json.loads(message(tmp_path))["train_loss"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nSee the manual."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_want_of_memory_is_a_result_and_not_a_failure(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise error

    monkeypatch.setattr("hypersweep_trainer.learner.Learner.learn", exhausted)

    assert 0 == train(an_environment(tmp_path))
    result = left(tmp_path, "result.json")
    assert "infeasible" == result["status"]
    assert result["reason"].startswith("out of memory: ")


def test_any_other_error_is_an_error_whose_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr("hypersweep_trainer.learner.Learner.learn", broken)

    assert 1 == train(an_environment(tmp_path))
    assert "rank 0: RuntimeError: shapes do not fit" == message(tmp_path)
    assert "shapes do not fit" in (tmp_path / "attempts/0/log.txt").read_text()
    assert "Traceback" in caplog.text
    result = left(tmp_path, "result.json")
    assert ("failed", "rank 0: RuntimeError: shapes do not fit") == (result["status"], result["reason"])


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"HYPERSWEEP_PARAMETERS": '{"momentun": 1}'}, "momentun: is not an option"),
        ({"HYPERSWEEP_PARAMETERS": "[1]"}, "HYPERSWEEP_PARAMETERS: must be a JSON object, but is '[1]'"),
        ({"HYPERSWEEP_OBJECTIVES": '[{"metric": "f1", "goal": "maximize"}]'}, "the metric must be one of"),
        ({"HYPERSWEEP_OBJECTIVES": "[3]"}, "must be a list of {metric, goal, at}, but is '[3]'"),
        ({"HYPERSWEEP_RUNGS": "[3, 1]"}, "HYPERSWEEP_RUNGS: must be a list of epochs"),
        ({"HYPERSWEEP_DATA_FRACTION": "0"}, "must be above 0 and at most 1, but is '0'"),
        ({"HYPERSWEEP_EPOCHS": "x"}, "HYPERSWEEP_EPOCHS: must be an integer of at least 1, but is 'x'"),
        ({"PET_NPROC_PER_NODE": "gpu"}, "PET_NPROC_PER_NODE: must be an integer"),
        ({"HYPERSWEEP_STORE": "ftp://x/y"}, "must hold, but got 'ftp://x/y'"),
    ],
)
def test_what_can_never_run_ends_with_78_and_one_sentence(
    tmp_path: Path,
    variables: dict[str, str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 78 == train({**an_environment(tmp_path), **variables})
    assert sentence in message(tmp_path)
    assert sentence in capsys.readouterr().err


def test_a_stage_may_shorten_the_run_and_thin_the_data(tmp_path: Path) -> None:
    train(an_environment(tmp_path, HYPERSWEEP_EPOCHS="2", HYPERSWEEP_DATA_FRACTION="0.5"))

    assert [5, 10] == [row["step"] for row in rows(tmp_path)]
    assert 0.5 == left(tmp_path, "result.json")["resolved"]["fraction"]


def test_the_seed_decides_the_run_and_nothing_else_does(tmp_path: Path) -> None:
    torch.manual_seed(1)
    for name, seed in {"one": "1", "again": "1", "other": "2"}.items():
        train(an_environment(tmp_path / name, {"dropout": 0.2}, HYPERSWEEP_SEED=seed))

    assert curve(tmp_path / "one") == curve(tmp_path / "again")
    assert curve(tmp_path / "one") != curve(tmp_path / "other")
