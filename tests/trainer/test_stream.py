"""Rows that do not fit on the device: the same as those that do, to the last bit, whatever takes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hypersweep_trainer import data
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, stream
from hypersweep_trainer.data.raw import Picked, Resident, Rows
from hypersweep_trainer.data.stream import Finished, Held, Streamed, finished, pair
from hypersweep_trainer.data.text import Windows
from hypersweep_trainer.serve import evaluate
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, curve, left, start, stop_after, train, weights
from tests.trainer.streaming import KINDS, PIXELS, crowded, forget

__all__ = ["crowded"]  # a fixture

CPU = torch.device("cpu")


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
        far.hint([])
        far.hint(order.split(5))
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
    given = {"data": KINDS["own Dataset"][0](tmp_path), "checks": "off", "batch_size": 16, "epochs": 2}
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
