"""Rows that do not fit on the device: the same as those that do, to the last bit, whatever takes them."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from hypersweep_trainer import data
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, room, stream
from hypersweep_trainer.data.raw import Picked, Resident, Rows
from hypersweep_trainer.data.stream import Finished, Held, Streamed, finished, pair
from hypersweep_trainer.data.text import Windows
from hypersweep_trainer.serve import evaluate
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, curve, left, start, stop_after, train, weights

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (90, 3, 8, 8), np.uint8)
LABELS = np.arange(90) % 3


def a_table(root: Path) -> str:
    rows = [
        f"{x:.3f},{'abc'[n % 3]},{'no' if x < 0 else 'yes'}" for n, x in enumerate(RANDOM.normal(size=90))
    ]
    (root / "rows.csv").write_text("\n".join(["x,colour,y", *rows]))
    return f"{root}/rows.csv"


def an_archive(x: Any, y: Any = None) -> Callable[[Path], str]:
    def write(root: Path) -> str:
        np.savez(root / "rows.npz", **({"x": x} if y is None else {"x": x, "y": y}))
        return f"{root}/rows.npz"

    return write


def a_text(root: Path) -> str:
    (root / "tale.txt").write_text("a stitch in time saves nine, said the cät. " * 60)
    return f"{root}/tale.txt"


FLOATS = PIXELS.astype(np.float32) / 255
TOKENS = RANDOM.integers(0, 300, (90, 7))
TENSORS = torch.from_numpy(PIXELS), torch.from_numpy(LABELS)
DATASET = TensorDataset(torch.from_numpy(FLOATS), torch.from_numpy(LABELS))
KINDS: dict[str, tuple[Callable[[Path], str], dict[str, Any]]] = {
    "table": (a_table, {}),
    "table, target means": (a_table, {"cat_encoder": "target"}),
    "table to rebuild": (a_table, {"target": "reconstruction"}),
    "numbers to predict": (an_archive(RANDOM.random((90, 4)), RANDOM.random(90)), {}),
    "images": (an_archive(PIXELS, LABELS), {"image_size": 12, "test_size": 10, "model": "cnn"}),
    "images to augment": (an_archive(PIXELS, LABELS), {"flip": 0.5}),
    "images of floats": (an_archive(FLOATS, LABELS / 2), {"task": "image"}),
    "images to rebuild": (an_archive(PIXELS), {"target": "reconstruction"}),
    "sequences": (an_archive(TOKENS, LABELS), {"task": "sequence"}),
    "sequences without labels": (an_archive(TOKENS), {"task": "sequence"}),
    "characters": (a_text, {"context": 8}),
    "bytes": (a_text, {"context": 8, "tokenizer": "bytes"}),
    "own tensors": (lambda _: f"{__name__}:TENSORS", {}),
    "own Dataset": (lambda _: f"{__name__}:DATASET", {}),
    "part of the labels": (
        an_archive(RANDOM.random((90, 4)), LABELS), {"pretrain": "autoencoder", "subset_fraction": 0.5},
    ),
}  # fmt: skip


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the device has no room for any row."""

    def fill() -> None:
        forget()
        monkeypatch.setattr(room, "free", lambda device: 0)

    forget()
    return fill


def forget() -> None:
    """What was loaded for other trials, as a process that starts anew."""
    data._load.cache_clear()
    data._raw.cache_clear()


@pytest.fixture(params=KINDS)
def both(request: Any, tmp_path: Path, crowded: Callable[[], None]) -> tuple[Data, Data]:
    """The same data on the device and streamed to it."""
    write, options = KINDS[request.param]
    environment = {
        "HYPERSWEEP_TRAINER": json.dumps({"data": write(tmp_path), **options}),
        "HYPERSWEEP_FINAL": "1",
    }
    config = Config.read(environment)
    near = data.load(config, CPU)
    crowded()
    far = data.load(config, CPU)
    forget()
    return near, far


def parts(found: Data) -> list[Rows]:
    assert found.test is not None
    return [found.train, found.unlabelled, found.val, found.test]


def streamed(rows: Rows) -> Streamed:
    found = rows.rows if isinstance(rows, Picked) else rows
    assert isinstance(found, Streamed)
    return found


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_batches_are_those_on_the_device_in_the_order_of_a_hint_and_in_any(both: tuple[Data, Data]) -> None:
    for near, far in zip(*map(parts, both), strict=True):
        assert len(near) == len(far)
        assert isinstance(near, Resident | Finished | Windows | Picked)
        order = torch.randperm(len(far), generator=torch.Generator().manual_seed(0))
        streamed(far).hint(torch.arange(0))
        far.hint(order)
        for rows in (*order.split(5), order[:7], order[3:3], order.flip(0), order[[0, 0, 1]]):
            assert same(near.take(rows), far.take(rows))


def test_what_is_known_of_the_data_does_not_depend_on_where_it_lies(both: tuple[Data, Data]) -> None:
    near, far = both

    assert (near.form, near.encoding, near.digest, near.split_digest, near.frequencies) == (
        far.form, far.encoding, far.digest, far.split_digest, far.frequencies,
    )  # fmt: skip


def test_where_there_is_no_room_rows_are_kept_as_small_as_they_can_be(
    both: tuple[Data, Data], request: Any
) -> None:
    kept = streamed(both[1].val)._sources[0].dtype
    expected = {
        "images": torch.uint8, "images to augment": torch.uint8, "images to rebuild": torch.uint8,
        "own tensors": torch.uint8, "characters": torch.uint8, "bytes": torch.int16,
        "sequences": torch.int16, "sequences without labels": torch.int16,
    }  # fmt: skip

    assert expected.get(request.node.callspec.params["both"], torch.float32) == kept


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("table", {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "swap_noise": 0.1, "noise": 0.1}),
        ("table", {"sampling": "balanced", "grad_accum": 3}),
        ("images to augment", {"mixup_alpha": 0.4, "grad_accum": 2, "ema": 0.9}),
        ("images", {"repeated_augmentation": 2, "rotate": 10.0}),
        ("images", {"checks": "warn"}),
        ("characters", {"token_drop": 0.2, "model": "transformer"}),
        ("part of the labels", {"pretrain_epochs": 2}),
        ("own Dataset", {"flip": 0.5}),
    ],
)
def test_a_trial_ends_at_the_same_bits(
    tmp_path: Path, crowded: Callable[[], None], kind: str, options: dict[str, Any]
) -> None:
    write, more = KINDS[kind]
    given = {"checks": "off", "batch_size": 16, "epochs": 2, **more, **options, "data": write(tmp_path)}
    heads = {"model": given.get("model", "mlp"), "heads": 2} if given.get("model") == "transformer" else {}
    for name in ("near", "far"):
        if name == "far":
            crowded()
        environment = an_environment(tmp_path / name, {**given, **heads}, HYPERSWEEP_FINAL="1")

        assert 0 == train(environment)
    near, far = weights(tmp_path / "near"), weights(tmp_path / "far")
    assert curve(tmp_path / "near") == curve(tmp_path / "far")
    assert near.keys() == far.keys()
    assert all(torch.equal(near[name], far[name]) for name in near)


def test_a_trial_goes_on_from_its_checkpoint_and_its_model_is_measured_where_memory_got_scarce(
    tmp_path: Path, crowded: Callable[[], None]
) -> None:
    given = {"data": f"{__name__}:DATASET", "checks": "off", "batch_size": 16, "epochs": 2}
    assert 75 == train(an_environment(tmp_path, given), stop_after(3))
    crowded()

    assert 0 == train(an_environment(tmp_path, given, attempt=1))
    assert 3 == left(tmp_path, "result.json", 1)["resumedFrom"]
    assert 18 == evaluate.run(f"{tmp_path}/attempts/1/model", None).rows


# straightening


class Sizes(TorchDispatchMode):
    """Bytes of the tensors that are made meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.made.append(found.nbytes)
        return found


def test_rows_are_straightened_for_good_in_pieces_and_lie_in_memory_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "CHUNK", 1000)
    x, y = torch.arange(4000).view(1000, 4), torch.arange(1000) % 3
    places = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    sources = [Held(x, places), Held(y, places)]
    with Sizes() as sizes:
        found = finished(sources, pair(Tensor.float), CPU)

    assert torch.equal(x[places].float(), found.x)
    assert torch.equal(y[places], found.y)
    assert [8000, 8000, 16_000] == sorted(size for size in sizes.made if size > 1000)  # numbers of rows, y, x


def test_rows_that_are_their_own_targets_lie_in_memory_once() -> None:
    found = finished([Held(torch.arange(10))], pair(Tensor.float), CPU)

    assert found.x is found.y
    assert torch.equal(torch.arange(10.0), found.x)


def test_rows_that_are_straight_are_not_copied() -> None:
    x, y = torch.rand(10, 4), torch.arange(10)
    found = finished([Held(x), Held(y)], pair(), CPU)

    assert found.x is x
    assert found.y is y


# reading ahead


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
    rows.hint(torch.arange(9, 0, -1))

    assert [9, 8] == taken(rows, 9, 8)
    assert all(noted.came.acquire(timeout=20) for _ in range(3))
    assert [[9, 8], [7, 6], [5, 4]] == noted.asked
    assert [7, 6] == taken(rows, 7, 6)
    assert noted.came.acquire(timeout=20)
    assert [[3, 2]] == noted.asked[3:]
    assert threading.current_thread().name not in noted.threads


def test_an_epoch_gathers_each_batch_once_the_last_small_one_too_and_the_next_begins_ahead() -> None:
    noted, rows = a_stream()
    for _ in range(2):
        rows.hint(torch.arange(10))
        for batch in torch.arange(10).split(4):
            assert batch.tolist() == taken(rows, *batch.tolist())

    assert [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] == noted.asked[:3]
    assert 6 == len(noted.asked)


def test_rows_out_of_turn_are_gathered_by_themselves_and_nothing_ahead_is_lost() -> None:
    noted, rows = a_stream()
    rows.hint(torch.arange(8))
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
    rows.hint(torch.arange(4))

    with pytest.raises(OSError, match="the disk is gone"):
        taken(rows, 0, 1)


def test_rows_that_are_held_in_part_are_not_copied() -> None:
    x = torch.arange(40).view(10, 4)
    held = Held(x, torch.tensor([7, 2, 9]))

    assert ((3, 4), torch.int64) == (held.shape, held.dtype)
    assert torch.equal(x[[9, 7]], held.select(torch.tensor([2, 0])))
    assert held.x is x


# ranks


def test_two_ranks_that_stream_and_blend_rows_of_each_other_end_at_the_same_bits(tmp_path: Path) -> None:
    for number in range(24):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[number].transpose(1, 2, 0)).save(folder / f"{number}.png")
    given = {
        "data": str(tmp_path / "images"),
        "image_size": 8,
        "mixup_alpha": 0.4,
        "batch_size": 5,
        "epochs": 2,
    }
    for resident in ("device", "host"):
        options = {**given, "resident": resident, "checks": "off"}
        environment = an_environment(tmp_path / resident, options, ranks=2, PET_MASTER_PORT=a_port())

        assert 0 == start(environment).wait(200)
    near, far = weights(tmp_path / "device"), weights(tmp_path / "host")
    assert curve(tmp_path / "device") == curve(tmp_path / "host")
    assert all(torch.equal(near[name], far[name]) for name in near)
