"""A trained model on rows it never saw: the test split as a final stage measures it, or another file."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine

from hypersweep_trainer import loss, metric
from hypersweep_trainer.data import _raw
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.options import METRICS, ON_REQUEST
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.serve import evaluate
from tests.trainer.models import CPU, Kept, a_model
from tests.trainer.runs import an_environment, left, train
from tests.trainer.test_predict import NAMES, TALE, customers, pictures, write


def told(kept: Kept) -> dict[str, float]:
    """What the trainer says of the test split, without the part's name."""
    assert kept.data.test is not None
    form = kept.data.form
    objective = loss.build(kept.config.options, form, kept.data.frequencies)
    wanted = ON_REQUEST.get(form.target, ())
    found = metric.evaluate(
        kept.network, kept.data.test, form, kept.data.scaling, Alone(CPU), "test", objective, wanted
    )
    return {name.removeprefix("test_"): value for name, value in found.values.items()}


def values(found: evaluate.Measured) -> dict[str, float]:
    return {name: value for name, (value, _) in found.metrics.items()}


def some_data(kind: str, root: Path) -> dict[str, Any]:
    match kind:
        case "table":
            options = {"data": str(write(root / "table.csv", NAMES, customers())), "cat_encoder": "target"}
            return {**options, "categorical": ["code"], "class_weights": "balanced", "folds": 3}
        case "pictures":
            return {"data": str(pictures(root / "pictures")), "model": "cnn", "image_size": 16, "flip": 0.5}
        case "text":
            (root / "tale.txt").write_text(TALE * 30)
            return {"data": str(root / "tale.txt"), "context": 16}
    return {"data": kind, "subset_fraction": 0.5}


KINDS = ("digits", "diabetes", "brackets", "markov", "synthetic_table", "table", "pictures", "text")


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_split_is_measured_as_the_trainer_does(kind: str, tmp_path: Path) -> None:
    kept = a_model(tmp_path, **some_data(kind, tmp_path))
    found = evaluate.run(str(kept.folder), None)
    target = kept.data.form.target
    names = [name.removeprefix("val_") for name in (*METRICS[target][1:], *ON_REQUEST.get(target, ()))]

    assert kept.data.test is not None
    assert len(kept.data.test) == found.rows
    assert pytest.approx(told(kept), rel=1e-6, abs=1e-9) == values(found)
    assert names == list(found.metrics)


def test_it_is_what_a_final_stage_reports(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {"target_norm": "log", "data": "diabetes"}, HYPERSWEEP_FINAL="1"))
    result = left(tmp_path, "result.json")["metrics"]
    found = evaluate.run(str(tmp_path / "attempts/0/model"), None)

    assert found.metrics["rmse"][1] is not None
    for name, (value, error) in found.metrics.items():
        assert pytest.approx(result[f"test_{name}"]["last"]) == value
        assert pytest.approx(result[f"test_{name}"].get("standardError")) == error


def document(kept: Kept) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((kept.folder / "model.json").read_text())
    return found


def change(kept: Kept, **entries: Any) -> None:
    (kept.folder / "model.json").write_text(json.dumps({**document(kept), **entries}))


def test_a_run_without_a_test_split_is_told(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="iris", test_fraction=0)

    with pytest.raises(DataError, match="iris: test_fraction is 0, so no row is for testing"):
        evaluate.run(str(kept.folder), None)


def test_data_that_changed_since_is_told(tmp_path: Path) -> None:
    kept = a_model(tmp_path, **some_data("table", tmp_path))
    resolved = {**document(kept)["resolved"], "data": str(write(tmp_path / "now.csv", NAMES, customers(61)))}
    change(kept, resolved=resolved)

    with pytest.raises(DataError, match=f"must be the data .* of digest {kept.data.digest}, but has digest"):
        evaluate.run(str(kept.folder), None)


def test_a_split_that_cannot_be_repeated_is_told(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="iris")
    change(kept, split="another")

    with pytest.raises(DataError, match="iris: must be split as in training"):
        evaluate.run(str(kept.folder), None)


@pytest.mark.parametrize("kind", ["table", "pictures", "text", "arrays"])
def test_of_the_data_of_training_the_test_split_is_measured_wherever_it_lies(
    kind: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "arrays.npz", x=load_iris().data, y=load_iris().target)
    options = {"data": f"{tmp_path}/arrays.npz"} if kind == "arrays" else some_data(kind, tmp_path)
    kept = a_model(tmp_path, **options)
    before = evaluate.run(str(kept.folder), None)
    place = tmp_path / "elsewhere" / Path(options["data"]).name
    place.parent.mkdir()
    shutil.move(options["data"], place)
    _raw.cache_clear()  # as in another process
    found = evaluate.run(str(kept.folder), str(place))

    assert (before.rows, before.metrics) == (found.rows, found.metrics)
    assert f"the test split of {place}, which is the data of training" == found.source
    with pytest.raises(DataError, match=r"there is none; --data says where the data of training lies, or "):
        evaluate.run(str(kept.folder), None)


def test_a_row_more_makes_other_data_of_which_every_row_is_measured(tmp_path: Path) -> None:
    kept = a_model(tmp_path, **some_data("table", tmp_path))
    more = write(tmp_path / "more.csv", NAMES, [*customers(), customers()[0]])
    found = evaluate.run(str(kept.folder), str(more))

    assert (str(more), len(customers()) + 1) == (found.source, found.rows)


def test_a_folder_may_have_the_name_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = a_model(tmp_path, **some_data("pictures", tmp_path))
    shutil.copytree(kept.config.options.data, tmp_path / "digits")
    monkeypatch.chdir(tmp_path)

    found = evaluate.run(str(kept.folder), "digits")
    assert "the test split of digits, which is the data of training" == found.source
    with pytest.raises(DataError, match=r"^iris: must be a file or folder, but there is none"):
        evaluate.run(str(kept.folder), "iris")


def test_the_data_of_training_may_have_no_test_split(tmp_path: Path) -> None:
    kept = a_model(tmp_path, **{**some_data("table", tmp_path), "test_fraction": 0})

    with pytest.raises(DataError, match=r"table\.csv: test_fraction is 0, so no row is for testing"):
        evaluate.run(str(kept.folder), kept.config.options.data)


def test_another_file_is_measured_by_its_labels_whatever_classes_it_holds(tmp_path: Path) -> None:
    rows = customers()
    kept = a_model(tmp_path, **some_data("table", tmp_path))
    places = kept.places("test", [row[-1] != "leaves" for row in rows])
    held = write(tmp_path / "held.csv", NAMES, [rows[place] for place in places])
    alone = write(tmp_path / "alone.csv", NAMES, [row for row in rows if row[-1] == "stays"][:5])

    found = evaluate.run(str(kept.folder), str(held))
    assert pytest.approx(told(kept), rel=1e-6) == values(found)
    assert (str(held), len(places)) == (found.source, found.rows)
    accuracy, other = (values(evaluate.run(str(kept.folder), str(file))) for file in (alone, swapped(alone)))
    assert pytest.approx(1 - accuracy["accuracy"]) == other["accuracy"]


def swapped(table: Path) -> Path:
    """The same rows as of the other class."""
    other = table.with_name("swapped.csv")
    other.write_text(table.read_text().replace("stays", "leaves"))
    return other


@pytest.mark.parametrize("kind", ["digits", "wine", "diabetes", "pictures", "text"])
def test_files_of_every_kind_can_be_measured(kind: str, tmp_path: Path) -> None:
    kept = a_model(tmp_path, **some_data(kind, tmp_path))
    place = tmp_path / "held.npz"
    match kind:
        case "digits":
            np.savez(place, x=load_digits().images.astype(np.float32) / 16, y=load_digits().target)
        case "wine":
            np.savez(place, x=load_wine().data, label=np.array([f"class_{y}" for y in load_wine().target]))
        case "diabetes":
            np.savez(place, x=np.random.default_rng(0).normal(size=(9, 10)), y=np.arange(9) * 30.0)
        case "pictures":
            place = shutil.copytree(kept.config.options.data, tmp_path / "held")
            shutil.copy(next(place.glob("*/*.png")), next(place.glob("*")) / "one_more.png")
        case _:
            place = tmp_path / "held.txt"
            place.write_text(TALE * 15)
    found = evaluate.run(str(kept.folder), str(place))

    assert {"digits": 1797, "wine": 178, "diabetes": 9, "pictures": 21, "text": 42}[kind] == found.rows
    assert str(place) == found.source
    assert all(np.isfinite(value) for value in values(found).values())


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (None, "held.npz: must hold the labels of its rows, but holds none"),
        ([0, 1, 7], r"held.npz, labels: must be classes of the model \(setosa, .*\), but one is 0"),
        (["setosa", "rose", "rose"], r"labels: must be classes of the model .*, but one is rose"),
        ([0, 1], "held.npz, y: must hold one label for each of 3 rows, but has shape"),
    ],
)
def test_labels_that_the_model_cannot_be_measured_by_are_told(
    labels: Any, sentence: str, tmp_path: Path
) -> None:
    kept = a_model(tmp_path, data="iris")
    y = {} if labels is None else {"y": np.array(labels)}
    np.savez(tmp_path / "held.npz", x=load_iris().data[:3], **y)

    with pytest.raises(DataError, match=sentence):
        evaluate.run(str(kept.folder), str(tmp_path / "held.npz"))


def test_one_row_tells_no_error_of_sampling(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="diabetes")
    np.savez(tmp_path / "one.npz", x=np.zeros((1, 10)), y=[150.0])
    np.savez(tmp_path / "two.npz", x=np.zeros((2, 10)), y=[150.0, 90.0])
    one, two = (evaluate.run(str(kept.folder), str(tmp_path / name)) for name in ("one.npz", "two.npz"))

    assert {None} == {error for _, error in one.metrics.values()}
    assert two.metrics["mae"][1] is not None


def test_a_text_shorter_than_a_row_has_nothing_to_measure(tmp_path: Path) -> None:
    kept = a_model(tmp_path, **some_data("text", tmp_path))
    (tmp_path / "short.txt").write_text("the fox")

    with pytest.raises(DataError, match=r"short\.txt: must hold rows to measure, but holds none"):
        evaluate.run(str(kept.folder), str(tmp_path / "short.txt"))
