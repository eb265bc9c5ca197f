"""Wrong data through the trainer's own door: exit code 78, and one sentence that says where."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from tests.s3 import endpoint, s3
from tests.trainer.runs import an_environment, message, start, train

__all__ = ["endpoint", "s3"]

Make = Callable[[Path], Path]
ROWS = "".join(f"{n},{n % 3},{'ab'[n % 2]}\n" for n in range(40))
X, Y = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
TOKENS = {"task": "sequence"}


def holding(content: str | bytes, name: str = "rows.csv") -> Make:
    def make(root: Path) -> Path:
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return root / name

    return make


def a_parquet(**columns: Any) -> Make:
    def make(root: Path) -> Path:
        parquet.write_table(pa.table({**columns, "y": ["a", "b"] * 10}), root / "rows.parquet")
        return root / "rows.parquet"

    return make


def two_of_one_name(root: Path) -> Path:
    cells = list(range(20))
    parquet.write_table(pa.table([cells, cells, cells], names=["a", "a", "y"]), root / "rows.parquet")
    return root / "rows.parquet"


def an_archive(**arrays: Any) -> Make:
    def make(root: Path) -> Path:
        np.savez(root / "rows.npz", **arrays)
        return root / "rows.npz"

    return make


def half_an_archive(root: Path) -> Path:
    path = an_archive(x=X, y=Y)(root)
    path.write_bytes(path.read_bytes()[:300])
    return path


def a_single_array(root: Path) -> Path:
    with (root / "rows.npz").open("wb") as file:
        np.save(file, X)
    return root / "rows.npz"


def images(root: Path, **classes: int) -> Path:
    for name, count in classes.items():
        (root / "images" / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{number}.png")
    return root / "images"


def with_a_broken_one(root: Path) -> Path:
    (images(root, cat=9, dog=9) / "dog" / "4.png").write_bytes(b"no image")
    return root / "images"


def with_a_half_one(root: Path) -> Path:
    path = images(root, cat=9, dog=9) / "dog" / "4.png"
    path.write_bytes(path.read_bytes()[:120])
    return root / "images"


def with_a_link_to_nothing(root: Path) -> Path:
    (images(root, cat=9, dog=9) / "dog" / "z.png").symlink_to(root / "gone")
    return root / "images"


def a_folder(root: Path) -> Path:
    (root / "folder").mkdir()
    return root / "folder"


def nothing(root: Path) -> Path:
    return root / "rows.csv"


WRONG: dict[str, tuple[Make, dict[str, Any], str]] = {
    "nothing": (nothing, {}, "rows.csv: must be a file or folder, but there is none"),
    "a short row": (holding(f"a,b,y\n{ROWS}1,2\n"), {}, "rows.csv: .* Expected 3 columns, got 2: 1,2"),
    "a long row": (holding(f"a,b,y\n{ROWS}1,2,3,4\n"), {}, "rows.csv: .* Expected 3 columns, got 4: 1,2,3,4"),
    "an open quote": (holding(f'a,b,y\n{ROWS}1,"a,2\n'), {}, "rows.csv: .* Expected 3 columns, got 2"),
    "semicolons": (holding(f"a,b,y\n{ROWS}".replace(",", ";")), {}, "commas must separate .* 'a;b;y'"),
    "tabs": (holding(f"a,b,y\n{ROWS}".replace(",", "\t")), {"label": "y"}, r"commas must separate .* 'a\\tb"),
    "no label": (holding(f"a,b,y\n{ROWS}"), {"label": "z"}, "there is no column z among a, b, y"),
    "no feature": (holding(f"a,b,y\n{ROWS}"), {"features": ["a", "q"]}, "there is no column q among a, b, y"),
    "a label alone": (holding("y\n" + "a\nb\n" * 9), {}, "must hold a column beside the label y"),
    "a name twice": (holding(f"a,a,y\n{ROWS}"), {}, "column names must differ, but a stands there twice"),
    "an empty file": (holding(""), {}, "rows.csv: cannot be read as csv: Empty CSV file"),
    "empty lines": (holding("\n\n\n"), {}, "rows.csv: cannot be read as csv: .*[Ee]mpty CSV file"),
    "a header": (holding("a,b,y\n"), {}, "rows.csv: must hold rows, but has none"),
    "a cell in Latin-1": (
        holding(f"a,b,y\n{ROWS}1,2,sch\xf6n\n".encode("latin-1")), {}, r"y: row 41 is .* must be UTF-8",
    ),
    "a header in Latin-1": (holding(f"\xe4,b,y\n{ROWS}".encode("latin-1")), {}, "header must be UTF-8"),
    "UTF-16": (holding(f"a,b,y\n{ROWS}".encode("utf-16")), {}, "rows.csv"),
    "bytes": (holding(bytes(range(256)) * 20), {}, "rows.csv: cannot be read as csv"),
    "another format": (holding(f"a,b,y\n{ROWS}", "rows.dat"), {}, "is a file: .* set format"),
    "one class": (holding("a,y\n" + "1,a\n" * 30), {}, "all rows are of class 'a'"),
    "a class of one row": (holding("a,y\n" + "1,a\n" * 30 + "2,b\n"), {}, r"'b' has one row \(row 31\)"),
    "a class that does not train": (
        holding("a,y\n" + "1,a\n" * 4 + "2,b\n2,b\n3,c\n3,c\n4,d\n4,d\n"), {"folds": 2, "test_fraction": 0.8},
        "class '.' has . rows, all of which are for validation or test",
    ),
    "an empty label": (holding(f"a,b,y\n{ROWS}1,2,\n"), {}, "y: row 41 is empty, but .* needs a class"),
    "one number": (
        holding("a,y\n" + "1,7.25\n2,7.25\n" * 20), {"target": "regression"},
        "rows.csv, column y: every row is 7.25, but a regression needs numbers that differ",
    ),
    "one number without a name": (
        an_archive(x=X, y=np.full(40, 7.25)), {},
        "rows.npz: every row is 7.25, but a regression needs numbers that differ",
    ),
    "one number to train with": (
        holding("a,y\n" + "1,0\n" * 39 + "2,5\n"), {"target": "regression", "folds": 2, "split_seed": 1},
        "rows.csv, column y: every training row is 0, but a regression needs numbers that differ",
    ),
    "shares of nothing": (
        holding("a,y\n" + "1,2\n3,0\n" * 20),
        {"target": "regression", "loss": "mape", "target_norm": "none"},
        "the target of row 2 is 0, as 20 of 40 are, but loss mape divides by it: set loss mae or huber",
    ),
    "a label that is no number": (
        holding("y,a\n" + "1.5,2\n" * 30 + "nan,2\n"), {"label": "y", "target": "regression"},
        "column y: row 31 is empty, but each row needs a finite number",
    ),
    "texts to predict": (holding(f"a,b,y\n{ROWS}"), {"target": "regression"}, "column y: row 1 is 'a', but"),
    "infinity": (holding(f"a,b,y\n{ROWS}inf,2,a\n"), {}, "column a: row 41 is infinite"),
    "as good as infinity": (holding(f"a,b,y\n{ROWS}-1e308,2,a\n"), {}, r"column a: row 41 is -1e\+308"),
    "an empty column": (holding("a,b,y\n" + ",1,a\n,2,b\n" * 9), {}, "column a: all its cells are empty"),
    "a folder as CSV": (a_folder, {"format": "csv"}, "folder: cannot be read as csv"),
    "lists": (a_parquet(a=[[1, 2]] * 20), {}, "column a: must hold numbers, text, .* but holds list"),
    "structures": (a_parquet(a=[{"k": 1}] * 20), {}, "column a: must hold .* but holds struct"),
    "binary": (a_parquet(a=[b"\xff"] * 20), {}, r"column a: row 1 is b'\\xff', but text must be UTF-8"),
    "durations": (a_parquet(a=pa.array([1] * 20, pa.duration("s"))), {}, "column a: .* but holds duration"),
    "a column twice": (two_of_one_name, {}, "column names must differ, but a stands there twice"),
    "an empty Parquet file": (holding("", "rows.parquet"), {}, "rows.parquet: cannot be read as parquet"),
    "CSV as Parquet": (holding(ROWS, "rows.parquet"), {}, "rows.parquet: cannot be read as parquet"),
    "objects": (an_archive(x=np.array([{}] * 9, object), y=Y[:9]), {}, "cannot be read as npz: Object"),
    "fewer labels": (an_archive(x=X, y=Y[:10]), {}, r"one target for each of 40 rows, but has shape \(10,\)"),
    "labels of two columns": (an_archive(x=X, y=X[:, :2]), {}, r"one target .* but has shape \(40, 2\)"),
    "no labels": (an_archive(x=X), {}, "must give y with x, or `target` must be reconstruction"),
    "no rows": (an_archive(y=Y), {}, "there is no array x among y"),
    "another label": (an_archive(x=X, y=Y), {"label": "t"}, "there is no array t among x, y"),
    "labels that are no numbers": (an_archive(x=X, y=Y * np.nan), {}, "y: row 1 is empty"),
    "complex numbers": (an_archive(x=X * 1j, y=Y), {}, "x must hold numbers in rows, .* type complex128"),
    "integers": (an_archive(x=np.ones((40, 2), int), y=Y), {}, "set task to tabular or sequence"),
    "negative tokens": (an_archive(x=np.full((40, 2), -1), y=Y), TOKENS, "from 0, but the least is -1"),
    "endless tokens": (an_archive(x=np.full((40, 2), 2**40), y=Y), TOKENS, "tokens below 16777216, but"),
    "bright images": (an_archive(x=np.full((40, 4, 4), 256), y=Y), {}, "but goes from 256 to 256"),
    "endless numbers": (an_archive(x=X, y=X[:, 0] * 1e300), {}, "rows.npz, y: row 1 is .* within ±1e\\+150"),
    "half an archive": (half_an_archive, {}, "rows.npz: cannot be read as npz"),
    "an empty archive": (holding("", "rows.npz"), {}, "rows.npz: cannot be read as npz"),
    "an array": (a_single_array, {}, "rows.npz: cannot be read as npz: it is one array without a name"),
    "an empty class": (lambda root: images(root, cat=9, eel=0), {}, "eel: must hold images .* holds none"),
    "one folder": (lambda root: images(root, cat=9), {}, "one folder of images for each class, .* only cat"),
    "no folder": (lambda root: images(root, cat=9) / "cat", {}, "one folder of images for each class"),
    "a broken image": (with_a_broken_one, {}, "dog/4.png: must be an image, but"),
    "half an image": (with_a_half_one, {}, "dog/4.png: must be an image, but"),
    "half an image, streamed": (
        with_a_half_one, {"resident": "host", "image_norm": "none"}, "dog/4.png: must be an image, but",
    ),
    "a link to nothing": (with_a_link_to_nothing, {}, "dog/z.png: cannot be read: No such file"),
    "a short text": (holding("abc", "tale.txt"), {}, "tokens are for training, but a row needs 64"),
    "no text": (holding("", "tale.txt"), {}, "tale.txt: must hold text, but is empty"),
    "a text in Latin-1": (holding(b"sch\xf6n" * 99, "tale.txt"), {}, "UTF-8, .* but byte 3 is 0xf6"),
    "a folder without text": (a_folder, {"format": "text"}, r"folder: must hold \.txt files"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_one_sentence_that_says_where(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    make, options, words = WRONG[name]
    given = {"checks": "off", "epochs": 1, "batch_size": 8, **options, "data": str(make(tmp_path))}
    code = train(an_environment(tmp_path / "trial", given, HYPERSWEEP_FINAL="1"))
    told = message(tmp_path / "trial")

    assert 78 == code
    assert re.search(words, told)
    assert [told] == "".join(capfd.readouterr()).splitlines()[1:]  # the first one names the device


def test_a_prefix_without_objects_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Any, endpoint: str
) -> None:
    monkeypatch.setenv("HYPERSWEEP_STORE_ENDPOINT", endpoint)
    given = {"data": "s3://sweeps/nothing", "cache_dir": str(tmp_path / "cache")}

    assert 78 == train(an_environment(tmp_path / "trial", given))
    assert "s3://sweeps/nothing/: must hold objects, but holds none" == message(tmp_path / "trial")


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_image_that_only_training_finds_broken_ends_all_ranks_with_its_name(
    tmp_path: Path, ranks: int
) -> None:
    given = {
        "data": str(with_a_half_one(tmp_path)),
        "resident": "host",
        "image_norm": "none",
        "batch_size": 4,
    }
    process = start(an_environment(tmp_path / "trial", {**given, "checks": "off", "epochs": 1}, ranks=ranks))

    assert 78 == process.wait(200)
    assert re.search(r"dog/4\.png: must be an image, but", message(tmp_path / "trial"))
