"""Metrics agree with scikit-learn and torchmetrics, count every row once, and know their sampling error."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as oracle
from sklearn import metrics as reference
from torch import Tensor, nn

from hypersweep_trainer import loss, metric
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.form import Form
from hypersweep_trainer.metric import classes, numbers, ranking
from hypersweep_trainer.metric.estimate import Estimate, perplexity
from hypersweep_trainer.options import METRICS, Options, metrics
from hypersweep_trainer.rank import Alone

ALL = metrics({})


class Same(nn.Module):
    """Gives what it is given: rows are their own outputs."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Half(Alone):
    """One of two ranks, whose other half is computed in the same process."""

    world = 2

    def __init__(self, rank: int) -> None:
        super().__init__(torch.device("cpu"))
        self.rank, self.others = rank, torch.zeros(0)

    def share(self, count: int) -> range:
        return range(self.rank * count // 2, (self.rank + 1) * count // 2)

    def collect(self, values: Tensor) -> Tensor:
        self.own = values
        parts = (values, self.others) if self.rank == 0 else (self.others, values)
        return torch.cat(parts) if self.others.numel() else values


class Scaling:
    """Numbers that were shifted by 5 and divided by 3."""

    def undo(self, values: Tensor) -> Tensor:
        return 3 * values + 5


def some_data(target: str, outputs: int, shape: tuple[int, ...] = (4,)) -> Any:
    return SimpleNamespace(form=Form("tabular", target, shape, outputs), scaling=Scaling())


def measure(
    output: Tensor, y: Tensor, target: str = "classification", wanted: Sequence[str] = ALL, **options: Any
) -> metric.Measured:
    """The metrics of outputs."""
    outputs = 1 if target == "regression" else output.shape[-1]
    data = some_data(target, outputs, tuple(y.shape[1:]) if target == "tokens" else (4,))
    usual = "cross_entropy" if target in ("classification", "tokens") else "mse"
    chosen = loss.build(Options(**{"loss": usual, **options}), data.form, ())
    ranks = Alone(torch.device("cpu"))
    return metric.evaluate(Same(), Resident(output, y), data.form, data.scaling, ranks, "val", chosen, wanted)


def scores(rows: int, count: int, seed: int = 0, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    """Logits that know something of the classes; with ties they take few values."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(0, count, (rows,), generator=rng)
    output = torch.randn(rows, count, generator=rng)
    output[torch.arange(rows), y] += 1
    return (output.round() if ties else output), y


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_classes_agree_with_scikit_learn(count: int, ties: bool) -> None:
    output, y = scores(300, count, count, ties=ties)
    found = measure(output, y).values
    probabilities, predicted = output.double().softmax(1).numpy(), output.argmax(1).numpy()
    truth, ranked = y.numpy(), output.double().log_softmax(1).float().numpy()
    kinds = [1] if count == 2 else range(count)
    areas = [reference.roc_auc_score(truth == kind, ranked[:, kind]) for kind in kinds]
    precisions = [reference.average_precision_score(truth == kind, ranked[:, kind]) for kind in kinds]

    assert pytest.approx(reference.accuracy_score(truth, predicted)) == found["val_accuracy"]
    assert (
        pytest.approx(reference.balanced_accuracy_score(truth, predicted)) == found["val_balanced_accuracy"]
    )
    assert pytest.approx(reference.f1_score(truth, predicted, average="macro")) == found["val_f1"]
    assert pytest.approx(reference.log_loss(truth, probabilities)) == found["val_log_loss"]
    assert pytest.approx(np.mean(areas)) == found["val_auroc"]
    assert pytest.approx(np.mean(precisions)) == found["val_average_precision"]
    assert found["val_log_loss"] == found["val_loss"]


@pytest.mark.parametrize("count", [2, 10])
def test_classes_agree_with_torchmetrics(count: int) -> None:
    output, y = scores(300, count, 7)
    found = measure(output, y).values
    probabilities = output.double().softmax(1)

    def expect(value: Tensor) -> Any:
        return pytest.approx(float(value), abs=1e-6)

    assert (
        expect(oracle.multiclass_calibration_error(probabilities, y, count)) == found["val_calibration_error"]
    )
    assert expect(oracle.multiclass_f1_score(output, y, count)) == found["val_f1"]
    assert expect(oracle.multiclass_accuracy(output, y, count)) == found["val_balanced_accuracy"]
    top = min(5, count)
    assert (
        expect(oracle.multiclass_accuracy(output, y, count, top_k=top, average="micro"))
        == found["val_top5_accuracy"]
    )
    if count > 2:
        assert expect(oracle.multiclass_auroc(probabilities, y, count)) == found["val_auroc"]
        assert (
            expect(oracle.multiclass_average_precision(probabilities, y, count))
            == found["val_average_precision"]
        )


def test_of_equal_scores_the_lower_class_is_ahead() -> None:
    output, y = scores(200, 10, 3, ties=True)
    order = np.argsort(-output.numpy(), axis=1, kind="stable")
    expected = [row.tolist().index(kind) for row, kind in zip(order, y.tolist(), strict=True)]
    place = classes.place(output, y)

    assert expected == place.tolist()
    assert torch.equal(output.argmax(1) == y, place == 0)


def test_classes_without_rows_do_not_count() -> None:
    output, y = scores(200, 6, 5)
    y = y % 3  # classes 3, 4 and 5 are predicted at times but never true
    found = measure(output, y).values
    predicted, probabilities = output.argmax(1), output.double().softmax(1)
    recall = [(predicted[y == kind] == kind).double().mean() for kind in range(3)]
    areas = [reference.roc_auc_score(y == kind, probabilities[:, kind]) for kind in range(3)]
    precisions = [reference.average_precision_score(y == kind, probabilities[:, kind]) for kind in range(3)]

    assert pytest.approx(float(sum(recall) / 3)) == found["val_balanced_accuracy"]
    assert (
        pytest.approx(reference.f1_score(y.numpy(), predicted.numpy(), average="macro")) == found["val_f1"]
    )  # classes that are predicted count with 0
    assert pytest.approx(np.mean(areas)) == found["val_auroc"]
    assert pytest.approx(np.mean(precisions)) == found["val_average_precision"]


def test_a_class_that_is_neither_true_nor_predicted_leaves_f1_alone() -> None:
    output, y = scores(100, 3)
    wider = torch.cat([output, torch.full((100, 2), -50.0)], 1)

    assert measure(output, y).values["val_f1"] == pytest.approx(measure(wider, y).values["val_f1"])


def test_where_nothing_can_be_ranked_the_ranking_is_no_better_than_chance() -> None:
    output, _ = scores(20, 2)
    found = measure(output, torch.zeros(20, dtype=torch.int64)).values

    assert (0.5, 0.0) == (found["val_auroc"], found["val_average_precision"])


def test_a_perfect_and_an_inverted_ranking() -> None:
    y = torch.tensor([0, 0, 1, 1])
    right = torch.tensor([[0.0, -1.0], [0.0, -2.0], [0.0, 1.0], [0.0, 2.0]])

    assert 1.0 == float(ranking.auroc(right.double(), y).value)
    assert 0.0 == float(ranking.auroc(-right.double(), y).value)
    assert 0.5 == float(ranking.auroc(torch.zeros(4, 2, dtype=torch.float64), y).value)
    assert 1.0 == float(ranking.average_precision(right.double(), y).value)


def test_calibration_is_the_gap_between_confidence_and_accuracy() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.5, 0.5], dtype=torch.float64)
    hits = torch.tensor([1, 1, 1, 0, 1, 0])

    found = classes.calibration_error(confidence, hits, torch.ones(6, dtype=torch.int64))
    assert pytest.approx((4 * 0.2 + 2 * 0) / 6) == float(found.value)


@pytest.mark.parametrize("name", ["mse", "huber", "mae"])
def test_numbers_agree_with_scikit_learn_in_original_units(name: str) -> None:
    rng = torch.Generator().manual_seed(1)
    y = torch.randn(200, generator=rng)
    output = (y + 0.3 * torch.randn(200, generator=rng))[:, None]
    found = measure(output, y, "regression", loss=name).values
    truth, prediction = (3 * values.double().numpy() + 5 for values in (y, output[:, 0]))

    assert pytest.approx(reference.root_mean_squared_error(truth, prediction)) == found["val_rmse"]
    assert pytest.approx(reference.mean_absolute_error(truth, prediction)) == found["val_mae"]
    assert pytest.approx(reference.r2_score(truth, prediction)) == found["val_r2"]
    assert pytest.approx(reference.mean_absolute_percentage_error(truth, prediction)) == found["val_mape"]


def test_numbers_without_variance_have_nothing_to_explain() -> None:
    found = measure(torch.ones(5, 1), torch.zeros(5), "regression")

    assert (0.0, 0.0) == (found.values["val_r2"], found.errors["val_rmse"])
    assert 0.0 == measure(torch.zeros(5, 1), torch.zeros(5), "regression").values["val_rmse"]
    assert all(math.isfinite(value) for value in [*found.values.values(), *found.errors.values()])


def test_outputs_of_msle_are_measured_as_what_they_stand_for() -> None:
    output, y = torch.tensor([[-1.0], [3.0]]), torch.tensor([0.5, 2.0])
    expected = 3 * (nn.functional.softplus(output[:, 0]) - y).abs().mean()

    assert pytest.approx(float(expected)) == measure(output, y, "regression", loss="msle").values["val_mae"]


def test_tokens_are_measured_one_by_one() -> None:
    output, y = scores(12 * 7, 9, 2)
    rows, targets = output.view(12, 7, 9), y.view(12, 7)
    found = measure(rows, targets, "tokens").values
    nats = float(nn.functional.cross_entropy(output, y))

    assert pytest.approx(nats) == found["val_nats_per_token"] == found["val_loss"]
    assert pytest.approx(math.exp(nats)) == found["val_perplexity"]
    assert pytest.approx(float((output.argmax(1) == y).double().mean())) == found["val_accuracy"]
    assert (
        pytest.approx(float(oracle.multiclass_accuracy(output, y, 9, top_k=5, average="micro")))
        == found["val_top5_accuracy"]
    )
    focal = measure(rows, targets, "tokens", loss="focal").values
    assert pytest.approx(nats) == focal["val_nats_per_token"] > focal["val_loss"]


def test_a_reconstruction_is_measured_over_all_numbers() -> None:
    output, y = torch.randn(2, 10, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found = measure(output, y, "reconstruction", loss="mae").values

    assert pytest.approx(float((output - y).square().mean().sqrt())) == found["val_rmse"]
    assert pytest.approx(float((output - y).abs().mean())) == found["val_loss"]


@pytest.mark.parametrize("target", ["classification", "regression", "tokens", "reconstruction"])
def test_the_usual_metrics_are_always_there_and_others_on_request(target: str) -> None:
    outputs = {
        "classification": scores(20, 4),
        "regression": (torch.zeros(20, 1), torch.randn(20)),
        "tokens": (torch.zeros(5, 4, 8), torch.zeros(5, 4, dtype=torch.int64)),
        "reconstruction": (torch.zeros(5, 3), torch.randn(5, 3)),
    }
    usual = {name for name in METRICS[target] if name.startswith("val_")}
    every = {name for name in metrics({"data": DATA[target], "target": target}) if name.startswith("val_")}

    assert usual == set(measure(*outputs[target], target, ()).values)
    assert every >= set(measure(*outputs[target], target).values) >= usual


DATA = {"classification": "digits", "regression": "diabetes", "tokens": "markov", "reconstruction": "digits"}


def test_a_metric_of_another_part_is_asked_for_by_any_name() -> None:
    found = measure(*scores(20, 4), wanted=["val_auroc"]).values

    assert {"val_auroc"} == set(found) - set(METRICS["classification"])
    data = some_data("classification", 4)
    chosen = loss.build(Options(), data.form, ())
    test = metric.evaluate(
        Same(),
        Resident(*scores(20, 4)),
        data.form,
        data.scaling,
        Alone(torch.device("cpu")),
        "test",
        chosen,
        ["val_auroc"],
    )
    assert {name.replace("val", "test"): value for name, value in found.items()} == test.values


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_two_ranks_count_every_row_once(rows: int) -> None:
    output, y = scores(rows, 3, rows)
    data = some_data("classification", 3)
    chosen = loss.build(Options(), data.form, ())
    first, second = Half(0), Half(1)

    def run(ranks: Half) -> metric.Measured:
        return metric.evaluate(
            Same(), Resident(output, y), data.form, data.scaling, ranks, "val", chosen, ALL
        )

    run(first), run(second)
    first.others, second.others = second.own, first.own

    assert run(first) == run(second) == measure(output, y)


def test_large_parts_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watched(Same):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return x

    output, y = scores(1000, 3)
    whole = measure(output, y)
    monkeypatch.setattr(metric, "ROWS", 400)
    monkeypatch.setattr(metric, "NUMBERS", 4 * 300)
    data = some_data("classification", 3)
    found = metric.evaluate(
        Watched(),
        Resident(output, y),
        data.form,
        data.scaling,
        Alone(torch.device("cpu")),
        "val",
        loss.build(Options(), data.form, ()),
        ALL,
    )

    assert [300, 300, 300, 100] == seen
    assert whole == found


def test_evaluation_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    network[3].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = some_data("classification", 3)
    rows = Resident(torch.randn(50, 4), torch.zeros(50, dtype=torch.int64))
    chosen = loss.build(Options(), data.form, ())
    found = [
        metric.evaluate(network, rows, data.form, data.scaling, Alone(torch.device("cpu")), "val", chosen)
        for _ in range(2)
    ]

    assert found[0] == found[1]  # without dropout
    assert [True, True, True, True, False] == [module.training for module in network.modules()]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# Standard errors


def test_errors_of_shares_have_their_closed_form() -> None:
    output, y = scores(250, 4)
    found = measure(output, y)
    share = found.values["val_accuracy"]

    assert pytest.approx(math.sqrt(share * (1 - share) / 250)) == found.errors["val_accuracy"]


def test_errors_of_means_have_their_closed_form() -> None:
    output, y = scores(250, 4)
    found = measure(output, y)
    losses = nn.functional.cross_entropy(output.double(), y, reduction="none").numpy()

    assert pytest.approx(losses.std() / math.sqrt(250), rel=1e-5) == found.errors["val_loss"]


def test_the_error_of_the_area_is_that_of_hanley_and_mcneil() -> None:
    output, y = scores(100, 2)
    area, error = (float(value) for value in vars(ranking.auroc(output.double(), y)).values())
    positive, negative = int(y.sum()), int((1 - y).sum())
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (first - area**2) + (negative - 1) * (second - area**2)

    assert pytest.approx(math.sqrt(variance / positive / negative)) == error


def resampled(measured: Callable[[Tensor], Estimate], rows: int) -> float:
    """The bootstrap's standard error."""
    rng = torch.Generator().manual_seed(0)
    draws = [measured(torch.randint(0, rows, (rows,), generator=rng)).value for _ in range(300)]
    return float(torch.stack(draws).std())


def agrees(measured: Callable[[Tensor], Estimate], rows: int = 400) -> bool:
    """Whether a metric of chosen rows knows its error to within the bootstrap's own."""
    return resampled(measured, rows) == pytest.approx(float(measured(torch.arange(rows)).error), rel=0.12)


def test_errors_of_classes_agree_with_the_bootstrap() -> None:
    output, y = scores(400, 7, 11)
    predicted, place = output.argmax(1), classes.place(output, y)

    assert agrees(lambda rows: classes.accuracy(predicted[rows], y[rows]))
    assert agrees(lambda rows: classes.balanced_accuracy(predicted[rows], y[rows], 7))
    assert agrees(lambda rows: classes.f1(predicted[rows], y[rows], 7))
    assert agrees(lambda rows: classes.top5(place[rows]))


def test_errors_of_the_ranking_agree_with_the_bootstrap() -> None:
    output, y = scores(400, 2, 11)

    assert agrees(lambda rows: ranking.auroc(output[rows].double(), y[rows]))


def test_errors_of_numbers_agree_with_the_bootstrap() -> None:
    rng = torch.Generator().manual_seed(4)
    y = 3 + torch.randn(400, dtype=torch.float64, generator=rng)
    prediction = y + 0.5 * torch.randn(400, dtype=torch.float64, generator=rng)

    for function in (numbers.rmse, numbers.mae, numbers.r2):
        assert agrees(lambda rows, of=function: of(prediction[rows], y[rows]))


def test_the_error_of_the_perplexity_agrees_with_the_bootstrap() -> None:
    nats = torch.rand(400, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    assert agrees(lambda rows: perplexity(nats[rows]))
