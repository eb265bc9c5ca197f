"""What ranks compute on: said at the start, and refused where GPUs that were asked for cannot be seen."""

from pathlib import Path

import pytest
import torch

from hypersweep_trainer.config import ConfigError, Place
from hypersweep_trainer.rank import join
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, left, message, start

BLIND = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process that sees no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return monkeypatch


def test_ranks_that_see_no_gpu_of_their_pod_never_train_on_the_cpu(tmp_path: Path) -> None:
    asked = {"HYPERSWEEP_GPUS": "2", "PET_MASTER_PORT": a_port(), **BLIND}

    assert 78 == start(an_environment(tmp_path, ranks=2, **asked)).wait(timeout=120)
    assert "trial.resources: the GPUs of this pod (2) must be visible" in message(tmp_path)
    result = left(tmp_path, "result.json")
    assert ("failed", message(tmp_path)) == (result["status"], result["reason"])


def test_a_further_node_without_its_gpu_says_so_itself_and_waits_for_nobody(tmp_path: Path) -> None:
    node = {"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_PORT": a_port()}

    assert 78 == start(an_environment(tmp_path, HYPERSWEEP_GPUS="1", **node, **BLIND)).wait(timeout=120)
    assert "the GPUs of this pod (1) must be visible" in message(tmp_path)
    assert not (tmp_path / "attempts").exists()


@pytest.mark.parametrize(
    ("cuda", "hip", "built", "look"),
    [
        ("13.2", None, "CUDA 13.2", "the node's driver must be new enough for CUDA 13.2"),
        (None, "7.1", "ROCm 7.1", "the node's driver must be new enough for ROCm 7.1"),
        (None, None, "the CPU only", "build the trainer's image without TORCH_BACKEND=cpu"),
    ],
)
def test_the_refusal_names_the_build_of_torch_and_what_to_look_at(
    cuda: str | None, hip: str | None, built: str, look: str, blind: pytest.MonkeyPatch
) -> None:
    blind.setattr(torch.version, "cuda", cuda)
    blind.setattr(torch.version, "hip", hip)

    with pytest.raises(ConfigError) as refused:
        join(Place(gpus=1))
    found = f"torch {torch.__version__}, built for {built}, sees none: {look}"
    assert found in str(refused.value)


def test_without_gpus_asked_for_the_cpu_will_do(blind: pytest.MonkeyPatch) -> None:
    assert "cpu" == join(Place.read({})).device.type


def test_a_run_says_first_what_it_computes_on(tmp_path: Path) -> None:
    variables = {"PET_MASTER_PORT": a_port(), **BLIND}

    assert 0 == start(an_environment(tmp_path, {"epochs": 1}, ranks=2, **variables)).wait(timeout=120)
    assert "2 ranks on cpu" == (tmp_path / "attempts/0/log.txt").read_text().splitlines()[0]
