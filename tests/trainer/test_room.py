"""Where rows lie: on the device while they fit, shared by the ranks that have it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from hypersweep_trainer.data import image, room
from hypersweep_trainer.data.room import Room, free
from hypersweep_trainer.data.stream import Finished, Streamed
from tests.trainer.images import CPU, a_folder, seen


@pytest.mark.parametrize(
    ("left", "kinds"),
    [
        (10_000_000, [Finished, Finished]),
        (12 * 30 * 200, [Finished, Finished]),  # 10 % of it are 36 images with their labels
        (8 * 30 * 200, [Streamed, Finished]),  # 24 images: those for training do not fit beside the others
        (30, [Streamed, Streamed]),
    ],
)
def test_images_lie_on_the_device_where_they_fit_those_of_validation_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, kinds: Sequence[type[Any]]
) -> None:
    monkeypatch.setattr(room, "free", lambda device: left)
    found = seen(image.read(a_folder(tmp_path, 30)), image_size=8, final=True)

    assert kinds == [type(found.train), type(found.val)]


@pytest.mark.parametrize("ranks", [1, 4])
def test_ranks_of_one_node_share_the_memory_of_the_host(monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
    monkeypatch.setattr(room, "free", lambda device: 4000)
    monkeypatch.setenv("PET_NPROC_PER_NODE", str(ranks))
    left = Room("auto", CPU)

    assert [True, True, False] == [left.takes(size) for size in (300 // ranks, 100 // ranks, 1)]


@pytest.mark.parametrize(
    ("ranks", "devices", "expected"), [(1, 1, 400), (4, 4, 400), (4, 2, 200), (3, 2, 200)]
)
def test_ranks_share_the_memory_of_a_gpu_that_several_of_them_have(
    monkeypatch: pytest.MonkeyPatch, ranks: int, devices: int, expected: int
) -> None:
    monkeypatch.setattr(room, "free", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setenv("PET_NPROC_PER_NODE", str(ranks))
    left = Room("auto", torch.device("cuda", 0))

    assert [True, False] == [left.takes(expected), left.takes(1)]


def test_free_memory_is_what_the_machine_has_at_most() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024

    assert 0 < free(CPU) <= total
