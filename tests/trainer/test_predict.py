"""Predictions: those of the trainer's own evaluation, from files of every kind; tables of them; refusals."""

import csv
import io
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pyarrow import csv as arrow
from pyarrow import parquet
from sklearn.datasets import load_digits, load_iris, load_wine
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer import loss, metric
from hypersweep_trainer.data.encode import Encoder
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.serve import given, predict
from hypersweep_trainer.serve.sheet import Columns
from tests.trainer.models import CPU, Kept, a_model

COLOURS = ("red", "green", "", "blue")
TALE = "the quick brown fox jumps over the lazy dog. "


@dataclass(frozen=True)
class Predicted:
    """A table as a whole, and what was said of it."""

    columns: dict[str, NDArray[Any]]
    words: str


def predicted(kept: Kept, place: Path) -> Predicted:
    model, parts = kept.model, list[Columns]()
    words = predict.predict(model, given.read(model, str(place)), parts.append)
    return Predicted({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, words)


def probabilities(found: Predicted) -> NDArray[Any]:
    return np.stack([cells for name, cells in found.columns.items() if name.startswith("p_")], 1)


def close(expected: Tensor, found: NDArray[Any]) -> bool:
    return bool(np.allclose(expected.numpy(), found, rtol=1e-6, atol=1e-6))


def write(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def customers(count: int = 60) -> list[tuple[Any, ...]]:
    """Age and income with empty cells, colours with some, a code that is a category, whether they stay."""
    random = np.random.default_rng(0)
    return [
        (
            "" if row % 7 == 0 else round(20 + 60 * random.random(), 2),
            "" if row % 11 == 3 else round(np.exp(random.normal(8, 1)), 2),
            COLOURS[row % 4],
            row % 5,
            ("stays", "leaves")[int(random.random() < 0.4)],
        )
        for row in range(count)
    ]


NAMES = ("age", "income", "colour", "code", "outcome")
ENCODERS: list[dict[str, Any]] = [
    {"cat_encoder": "embedding"},
    {"cat_encoder": "onehot", "num_encoder": "quantile"},
    {"cat_encoder": "target", "num_encoder": "rankgauss"},
]


@pytest.mark.parametrize("options", ENCODERS, ids=lambda options: options["cat_encoder"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_with_categories_and_empty_cells_is_encoded_as_in_training(
    options: dict[str, Any], ending: str, tmp_path: Path
) -> None:
    rows = customers()
    table = write(tmp_path / "table.csv", NAMES, rows)
    kept = a_model(tmp_path, data=str(table), categorical=["code"], norm="batch", **options)
    # other columns, in another order, without the label
    new = write(tmp_path / "new.csv", ("note", *NAMES[3::-1]), [("x", *row[3::-1]) for row in rows])
    if ending == "parquet":
        lists = pa.array([[1, 2]] * len(rows))  # of a kind that no network could take
        parquet.write_table(arrow.read_csv(new).append_column("lists", lists), tmp_path / "new.parquet")
        new = tmp_path / "new.parquet"
    found = predicted(kept, new)

    val = kept.places("val", [row[-1] != "leaves" for row in rows])
    assert close(kept.outputs(kept.data.val).softmax(1), probabilities(found)[val])
    assert ["prediction", "p_leaves", "p_stays"] == list(found.columns)
    assert set(found.columns["prediction"]) <= {"leaves", "stays"}
    best = probabilities(found).argmax(1)
    assert [("leaves", "stays")[code] for code in best] == found.columns["prediction"].tolist()


def test_an_unknown_category_and_an_empty_column_are_predicted_too(tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", NAMES, customers())
    kept = a_model(tmp_path, data=str(table))
    new = write(tmp_path / "new.csv", NAMES[:4], [("", 5000, "violet", 9), ("", 5000, "orange", 9)])
    found = predicted(kept, new)
    first, second = probabilities(found)

    assert found.words.startswith("column colour: row 1 is 'violet', and neither it nor any other is a")
    assert "\n" not in found.words
    assert pytest.approx(first) == second
    assert pytest.approx(1) == first.sum()


def test_a_missing_column_is_told_in_one_sentence(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data=str(write(tmp_path / "table.csv", NAMES, customers())))
    new = write(tmp_path / "new.csv", ("age", "colour", "code"), [(30, "red", 1)])

    with pytest.raises(DataError, match=r"new\.csv: must hold the columns of training, but has no income$"):
        predicted(kept, new)


@pytest.mark.parametrize("options", [{"loss": "mae"}, {"output_range": [0, 1000]}], ids=["log", "bounded"])
def test_numbers_are_predicted_in_their_original_units(options: dict[str, Any], tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(80, 2))
    y = np.exp(4 + x[:, 0])
    table = write(tmp_path / "table.csv", ("a", "b", "price"), np.column_stack([x, y]).tolist())
    kept = a_model(tmp_path, data=str(table), target="regression", target_norm="log", **options)
    found = predicted(kept, table).columns["prediction"]

    val = kept.places("val", y)
    objective = loss.build(kept.config.options, kept.data.form, ())
    told = metric.evaluate(
        kept.network, kept.data.val, kept.data.form, kept.data.scaling, Alone(CPU), "val", objective
    ).values
    # training sees the target as float32
    assert pytest.approx(told["val_rmse"], rel=1e-6) == float(np.sqrt(np.mean((found[val] - y[val]) ** 2)))
    assert close(kept.data.scaling.undo(kept.outputs(kept.data.val).squeeze(1)) / 100, found[val] / 100)


def test_a_loss_that_predicts_in_units_of_its_own_is_undone(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="synthetic_curve", loss="msle", target_norm="none", synthetic_rows=50)
    x = np.random.default_rng(0).normal(size=(5, 2))
    np.savez(tmp_path / "x.npz", x=x)
    encoded = torch.from_numpy(Encoder.load(kept.data.encoding).rows({"x": x[:, 0], "z": x[:, 1]}))
    output = kept.network.eval()(encoded).squeeze(1).detach()

    assert close(functional.softplus(output), predicted(kept, tmp_path / "x.npz").columns["prediction"])


def test_bundled_tables_are_predicted_from_columns_by_name_or_by_place(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    kept = a_model(tmp_path, data="iris")
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    table = write(tmp_path / "iris.csv", names, x.tolist())
    np.savez(tmp_path / "iris.npz", x=x)
    found = predicted(kept, table)

    assert close(kept.outputs(kept.data.val).softmax(1), probabilities(found)[kept.places("val", y)])
    assert np.array_equal(probabilities(found), probabilities(predicted(kept, tmp_path / "iris.npz")))
    assert {"setosa", "versicolor", "virginica"} >= set(found.columns["prediction"])


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_bundled_images_are_predicted_from_an_array(model: str, tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    kept = a_model(tmp_path, model=model, norm="batch", dropout=0.5, test_crop=0.75)
    np.savez(tmp_path / "digits.npz", x=(x / 16).astype(np.float32).reshape(-1, 8, 8))
    found = predicted(kept, tmp_path / "digits.npz")

    assert close(kept.outputs(kept.data.val).softmax(1), probabilities(found)[kept.places("val", y)])
    assert 1797 == len(found.columns["prediction"])


def pictures(root: Path, count: int = 20) -> Path:
    for number in range(count):
        folder = root / ("dog", "cat")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (18, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return root


def test_images_are_predicted_from_a_folder_or_one_by_one(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    kept = a_model(tmp_path, data=str(folder), model="cnn", image_size=16, test_size=20, test_crop=0.9)
    found = predicted(kept, folder)
    places = kept.places("val", [0] * 10 + [1] * 10)
    one = predicted(kept, folder / str(found.columns["file"][3]))

    assert close(kept.outputs(kept.data.val).softmax(1), probabilities(found)[places])
    assert ["cat/01.png", "cat/03.png"] == found.columns["file"].tolist()[:2]
    assert np.allclose(probabilities(one)[0], probabilities(found)[3], atol=1e-6)


def test_a_text_is_predicted_token_by_token_in_windows(tmp_path: Path) -> None:
    (tmp_path / "tale.txt").write_text(TALE * 30)
    kept = a_model(tmp_path, data=str(tmp_path / "tale.txt"), context=16)
    count = len(kept.data.val)
    start = int(kept.places("val", [0] * len(TALE * 30))[0])
    new = tmp_path / "new.txt"
    new.write_text((TALE * 30)[start : start + 16 * count + 1])
    found = predicted(kept, new)

    objective = loss.build(kept.config.options, kept.data.form, ())
    told = metric.evaluate(
        kept.network, kept.data.val, kept.data.form, kept.data.scaling, Alone(CPU), "val", objective
    ).values
    _, y = kept.data.val.take(torch.arange(count))
    nats = functional.cross_entropy(kept.outputs(kept.data.val).transpose(1, 2), y, reduction="none")
    assert close(nats.mean(1), found.columns["nats_per_token"])
    assert close(nats.mean(1).exp(), found.columns["perplexity"])
    assert [16] * count == found.columns["tokens"].tolist()
    words = f"in all {16 * count} tokens: {told['val_nats_per_token']:.6g} nats per token, perplexity "
    assert found.words.startswith(words)


@pytest.mark.parametrize("tokenizer", ["chars", "bytes"])
def test_the_last_window_of_a_text_may_be_shorter_and_no_token_is_left_out(
    tokenizer: str, tmp_path: Path
) -> None:
    (tmp_path / "tale.txt").write_text(TALE * 30)
    kept = a_model(tmp_path, data=str(tmp_path / "tale.txt"), context=16, tokenizer=tokenizer)
    new = tmp_path / "new.txt"
    found = {}
    for length in (17, 22, 33):
        new.write_text(TALE[:length])
        found[length] = predicted(kept, new).columns

    assert {17: [16], 22: [16, 5], 33: [16, 16]} == {n: one["tokens"].tolist() for n, one in found.items()}
    firsts = [one["nats_per_token"][0] for one in found.values()]
    assert pytest.approx(firsts[0], rel=1e-6) == firsts[1] == firsts[2]
    assert not np.isclose(found[22]["nats_per_token"][1], found[33]["nats_per_token"][1])
    new.write_text("t")
    with pytest.raises(DataError, match="a text must hold two tokens at least"):
        predicted(kept, new)


def test_tokens_without_a_tokenizer_are_read_as_numbers(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="markov", synthetic_rows=60, context=8)
    (tmp_path / "new.txt").write_text("1 2 3 4 5 6 7 8 9\n10 11\n")
    np.savez(tmp_path / "new.npz", x=np.arange(1, 12))
    found = predicted(kept, tmp_path / "new.txt").columns

    same = predicted(kept, tmp_path / "new.npz").columns

    assert [8, 2] == found["tokens"].tolist()
    assert np.array_equal(found["nats_per_token"], same["nats_per_token"])
    (tmp_path / "new.txt").write_text("1 2 99")
    with pytest.raises(DataError, match="tokens must be from 0 to 27, as in training, but one is 99"):
        predicted(kept, tmp_path / "new.txt")


def test_a_line_of_a_text_is_a_row_of_a_model_of_sequences(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="brackets", synthetic_rows=60, context=8)
    x, _ = kept.data.val.take(torch.arange(len(kept.data.val)))
    lines = [" ".join(map(str, row)) for row in x.tolist()]
    (tmp_path / "new.txt").write_text("\n".join(lines) + "\n")
    np.savez(tmp_path / "new.npz", x=x.numpy())
    found = predicted(kept, tmp_path / "new.txt")

    assert close(kept.outputs(kept.data.val).softmax(1), probabilities(found))
    assert np.array_equal(probabilities(found), probabilities(predicted(kept, tmp_path / "new.npz")))
    wrong = {"1 2": "must hold 8 tokens, as in training, but holds 2", "1 x": "must hold tokens as numbers"}
    for line, words in wrong.items():
        (tmp_path / "new.txt").write_text(f"{lines[0]}\n{line}\n")
        with pytest.raises(DataError, match=rf"new\.txt, line 2: {words}"):
            predicted(kept, tmp_path / "new.txt")


@pytest.mark.parametrize("data", ["digits", "wine"])
def test_a_model_that_rebuilds_rows_tells_how_far_each_is_off(data: str, tmp_path: Path) -> None:
    kept = a_model(tmp_path, data=data, target="reconstruction")
    x, _ = kept.data.val.take(torch.arange(len(kept.data.val)))
    off = (kept.outputs(kept.data.val) - x).square().flatten(1).mean(1).sqrt()
    raw = load_digits().images.astype(np.float32) / 16 if data == "digits" else load_wine().data
    np.savez(tmp_path / "new.npz", x=raw)
    found = predicted(kept, tmp_path / "new.npz").columns

    assert ["rmse"] == list(found)
    assert close(off, found["rmse"][kept.places("val", [0] * len(raw))])


def test_tables_of_predictions_hold_the_same_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = a_model(tmp_path, data="iris")
    np.savez(tmp_path / "iris.npz", x=load_iris().data[::10])
    place, rows = str(kept.folder), str(tmp_path / "iris.npz")
    for output in (None, str(tmp_path / "out.csv"), str(tmp_path / "out.parquet")):
        assert "" == predict.run(place, rows, output)
    printed = capsys.readouterr().out
    told = list(csv.DictReader(io.StringIO(printed)))
    kept_ones = parquet.read_table(tmp_path / "out.parquet").to_pydict()

    assert (tmp_path / "out.csv").read_text() == printed
    assert ["prediction", "p_setosa", "p_versicolor", "p_virginica"] == list(told[0])
    assert kept_ones["prediction"] == [row["prediction"] for row in told]
    assert pytest.approx(kept_ones["p_setosa"], rel=1e-8) == [float(row["p_setosa"]) for row in told]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("rows.txt", "rows.txt: a model of tables takes a .csv, .parquet or .npz file, but this is none"),
        ("none.csv", "none.csv: must be a file or folder, but there is none"),
        ("three.npz", "three.npz: x must hold the model's 4 columns, but holds 3"),
        ("words.csv", "column sepal width .*: row 1 is 'wide', but the model needs numbers"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_told(name: str, sentence: str, tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="iris")
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    (tmp_path / "rows.txt").write_text("1,2,3,4")
    np.savez(tmp_path / "three.npz", x=np.zeros((2, 3)))
    write(tmp_path / "words.csv", names, [(1, "wide", 2, 3)])

    with pytest.raises(DataError, match=sentence):
        predicted(kept, tmp_path / name)


def piped(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_table_or_a_text_may_come_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, tale = write(tmp_path / "table.csv", NAMES, customers()), tmp_path / "tale.txt"
    tale.write_text(TALE * 30)
    for kept, rows in (
        (a_model(tmp_path / "table", data=str(table)), table),
        (a_model(tmp_path / "text", data=str(tale), context=16), tale),
    ):
        predict.run(str(kept.folder), str(rows), None)
        expected = capsys.readouterr().out
        piped(rows.read_text(), monkeypatch)
        predict.run(str(kept.folder), "-", None)

        assert expected == capsys.readouterr().out
    piped("age,colour\n1,red\n", monkeypatch)
    with pytest.raises(DataError, match=r"^stdin: must hold the columns of .*, but has no income, code$"):
        predict.run(str(tmp_path / "table/model"), "-", None)
    with pytest.raises(DataError, match=r"^stdin: a model of images takes .*, and none of them from stdin$"):
        predict.run(str(a_model(tmp_path / "digits").folder), "-", None)


def test_what_is_wrong_with_a_cell_is_told_with_its_file(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data=str(write(tmp_path / "table.csv", NAMES, customers())))
    new = write(tmp_path / "new.csv", NAMES[:4], [(30, 5000, "red", 1), (30, "lots", "red", 1)])

    with pytest.raises(DataError, match=r"^.*/new\.csv: column income: row 2 is 'lots', but the model"):
        predict.run(str(kept.folder), str(new), None)


def test_an_array_has_the_models_channels_and_no_names_of_categories(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3, 8, 8), np.float32))
    with pytest.raises(DataError, match="images must have as many channels as the model's, 1, but have 3"):
        predicted(a_model(tmp_path / "digits"), tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 10)))
    with pytest.raises(
        DataError, match=r"must be a .csv or .parquet file, since .* categories, colour, region"
    ):
        predicted(a_model(tmp_path / "table", data="synthetic_table"), tmp_path / "x.npz")


def test_a_model_predicts_after_its_data_is_gone(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    kept = a_model(tmp_path, data=str(folder), model="cnn", image_size=16)
    before = probabilities(predicted(kept, folder / "cat"))
    shutil.move(folder / "cat", tmp_path / "elsewhere")
    shutil.rmtree(folder)

    assert np.array_equal(before, probabilities(predicted(kept, tmp_path / "elsewhere")))
