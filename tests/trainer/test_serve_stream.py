"""Rows that a trained model is measured on, or predicts: brought to the device batch by batch, once."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from hypersweep_trainer import metric
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.data.reader import Reader
from hypersweep_trainer.data.stream import Held, Streamed
from hypersweep_trainer.data.text import Windows
from hypersweep_trainer.serve import evaluate, predict, sheet
from tests.trainer.models import Kept, a_model
from tests.trainer.streaming import KINDS, crowded, forget
from tests.trainer.test_evaluate import KINDS as SETS
from tests.trainer.test_evaluate import some_data, told, values
from tests.trainer.test_predict import pictures, predicted

__all__ = ["crowded"]  # a fixture

RANDOM = np.random.default_rng(0)
MAPPED: list[Any] = [None]  # by import path, as data of a user's own is


def mapped() -> Any:
    return MAPPED[0]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Batches of at most 8 rows."""
    monkeypatch.setattr(metric, "ROWS", 8)
    yield
    forget()


def sources(rows: Any) -> list[Any]:
    assert isinstance(rows, Streamed)
    return list(rows._sources)


def own(kind: str, root: Path) -> dict[str, Any]:
    return {"data": KINDS["own Dataset"][0](root)} if kind == "own" else some_data(kind, root)


@pytest.mark.parametrize("kind", ["own", *SETS])
def test_a_test_split_for_which_there_is_no_room_is_streamed_and_measures_the_same(
    kind: str, tmp_path: Path, crowded: Callable[[], None]
) -> None:
    kept = a_model(tmp_path, **own(kind, tmp_path))
    near = evaluate.run(str(kept.folder), None)
    crowded()
    far = evaluate.run(str(kept.folder), None)

    assert near == far
    assert pytest.approx(told(kept), rel=1e-6, abs=1e-9) == values(far)
    source = sources(evaluate.tested(kept.model))[0]
    assert isinstance(source, Reader if kind in ("own", "pictures") else Held | Windows)


@pytest.mark.parametrize("kind", ["stream", "rows of tokens", "labelled tokens", "pixels"])
def test_what_is_mapped_from_a_file_stays_there(kind: str, tmp_path: Path) -> None:
    shapes = {
        "stream": (4000,),
        "rows of tokens": (90, 9),
        "labelled tokens": (90, 8),
        "pixels": (90, 3, 8, 8),
    }
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=shapes[kind])
    x[:] = RANDOM.integers(0, 200, x.shape)
    MAPPED[0] = (x, np.arange(90) % 3) if kind in ("labelled tokens", "pixels") else x
    task = {"stream": {"context": 8}, "pixels": {}}.get(kind, {"task": "sequence"})
    kept = a_model(tmp_path, data=f"{__name__}:mapped", **task)
    found = evaluate.tested(kept.model)
    source = sources(found)[0]

    held = source.stream if isinstance(source, Windows) else source.x
    assert np.shares_memory(held.numpy(), x)
    assert kept.data.test is not None
    rows = torch.arange(len(kept.data.test))
    for one, other in zip(kept.data.test.take(rows), found.take(rows), strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one, other)


# predictions


def in_parts(kept: Kept, place: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of a table are written at a time."""
    sizes: list[int] = []
    with monkeypatch.context() as patch:
        write = sheet._csv

        def noted(file: Any) -> sheet.Write:
            inner = write(file)

            def one(columns: sheet.Columns) -> None:
                sizes.append(len(next(iter(columns.values()))))
                inner(columns)

            return one

        patch.setattr(sheet, "_csv", noted)
        predict.run(str(kept.folder), str(place), None)
    return sizes


@pytest.mark.parametrize("kind", ["pictures", "text"])
def test_predictions_are_written_batch_by_batch(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = a_model(tmp_path, **some_data(kind, tmp_path))
    place = Path(kept.config.options.data)
    sizes = in_parts(kept, place, monkeypatch)
    told = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    monkeypatch.setattr(metric, "ROWS", 4096)
    whole = predicted(kept, place).columns

    assert (8, 8) == tuple(sizes[:2])
    assert len(told) == sum(sizes)
    assert set(whole) == set(told[0])
    for name, cells in whole.items():
        found = [row[name] for row in told]
        if cells.dtype.kind == "f":
            assert np.allclose(cells, np.array(found, float), rtol=1e-6)
        else:
            assert list(map(str, cells)) == found


@pytest.mark.parametrize("group", [1 << 16, 10])
def test_a_parquet_file_holds_the_parts_one_after_the_other(
    group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "GROUP", group)
    place = tmp_path / "out.parquet"
    with sheet.opened(str(place)) as write:
        for start in range(0, 25, 5):
            write({"n": np.arange(start, start + 5), "word": np.array(list("abcde"), object)})
    found = parquet.ParquetFile(place)

    assert list(range(25)) == found.read()["n"].to_pylist()
    assert list("abcde" * 5) == found.read()["word"].to_pylist()
    assert {1 << 16: 1, 10: 3}[group] == found.num_row_groups


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_of_predictions_is_there_once_it_is_whole(ending: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    kept = a_model(tmp_path, data=str(folder), model="cnn", image_size=16)
    output = tmp_path / f"out.{ending}"
    output.write_text("of before")
    file = sorted((folder / "dog").iterdir())[-1]
    file.write_bytes(b"no image")

    with pytest.raises(DataError, match=f"{file}: must be an image"):
        predict.run(str(kept.folder), str(folder), str(output))
    assert "of before" == output.read_text()
    assert {"pictures", "model", output.name} == {path.name for path in tmp_path.iterdir()}
    Image.new("RGB", (8, 8)).save(file)
    predict.run(str(kept.folder), str(folder), str(output))
    assert "of before" not in output.read_bytes().decode("latin-1")


def test_a_link_to_a_file_of_predictions_stays_one(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data=str(pictures(tmp_path / "pictures")), model="cnn", image_size=16)
    link, output = tmp_path / "latest.csv", tmp_path / "there.csv"
    link.symlink_to(output)

    predict.run(str(kept.folder), str(tmp_path / "pictures"), str(link))
    assert link.is_symlink()
    assert output.read_text().startswith("file,prediction,")
