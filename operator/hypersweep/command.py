"""The processes that stand for the pods of an attempt on this machine."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypersweep import contract
from hypersweep.api import SweepSpec, TrialSpec
from hypersweep.job import COMMAND, expand
from hypersweep.podtemplate import is_gpu

GRACE_SECONDS = 30.0  # what Kubernetes gives a pod that says nothing else


@dataclass(frozen=True)
class Command:
    """One process: what it runs, with which environment, and where."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


def commands(
    spec: SweepSpec, attempt: Mapping[str, str], inherited: Mapping[str, str], folder: Path
) -> list[Command]:
    """One command per node, its environment expanded as the kubelet does; rank 0's host is this machine."""
    nodes = []
    for node in range(spec.trial.nodes):
        own = {"PET_NODE_RANK": str(node), "PET_MASTER_ADDR": "127.0.0.1", "JOB_COMPLETION_INDEX": str(node)}
        if node:  # the message of completion index 0 is the one that counts
            own[contract.ENV_TERMINATION_LOG] = f"{attempt[contract.ENV_TERMINATION_LOG]}-{node}"
        environment = variables(spec.trial, dict(attempt) | own)
        argv = tuple(_here(expand(part, environment), environment) for part in spec.trial.command or COMMAND)
        nodes.append(Command(_interpreted(argv, spec), _surroundings(inherited) | environment, folder))
    return nodes


def variables(trial: TrialSpec, attempt: Mapping[str, str]) -> dict[str, str]:
    """The attempt's variables, then the container's, each expanded with those before it."""
    found = dict(attempt)
    for variable in trial.container.get("env") or ():
        if "valueFrom" not in variable:
            found[variable["name"]] = _here(expand(str(variable.get("value") or ""), found), found)
    return found


def _here(text: str, environment: Mapping[str, str]) -> str:
    """What names a container's own file for its message means the attempt's file on this machine."""
    return text.replace(contract.TERMINATION_LOG, environment[contract.ENV_TERMINATION_LOG])


def _interpreted(argv: tuple[str, ...], spec: SweepSpec) -> tuple[str, ...]:
    """The built-in trainer runs with the Python that runs this."""
    return argv if spec.trial.command else (sys.executable, *argv[1:])


def _surroundings(inherited: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without another attempt's; `python` is the one that runs this."""
    kept = {n: v for n, v in inherited.items() if not n.startswith(("HYPERSWEEP_", "PET_"))}
    path = kept.get("PATH") or os.defpath
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}", "PYTHONUNBUFFERED": "1"}


def grace(trial: TrialSpec) -> float:
    """Seconds between asking a process to end and killing it."""
    return float((trial.pod_template.get("spec") or {}).get("terminationGracePeriodSeconds") or GRACE_SECONDS)


def ignored(spec: SweepSpec) -> list[str]:
    """The fields of a manifest that mean nothing on this machine."""
    trial, pod = spec.trial, spec.trial.pod_template.get("spec") or {}
    container = trial.container
    other = [c for c in pod.get("containers") or () if c.get("name") != contract.CONTAINER]
    ranked = " (but for GPUs: each is a rank)" if trial.gpus else ""
    fields: Sequence[tuple[str, object]] = (
        ("store", spec.store),
        ("budget.gpuHours", spec.budget and spec.budget.gpu_hours),
        ("trial.image", trial.image or container.get("image")),
        (f"trial.resources{ranked}", _beside_gpus(trial.resources.model_dump())),
        ("trial.queue", trial.queue),
        ("trial.podTemplate.metadata", trial.pod_template.get("metadata")),
        *(
            (f"trial.podTemplate.spec.{name}", value)
            for name, value in pod.items()
            if name not in ("containers", "terminationGracePeriodSeconds")
        ),
        *((f"container {container.get('name')!r}", True) for container in other),
        *(
            (f"{contract.CONTAINER}'s {name}", value)
            for name, value in container.items()
            if name not in ("name", "command", "args", "env", "image", "resources")
        ),
        (f"{contract.CONTAINER}'s resources{ranked}", _beside_gpus(container.get("resources") or {})),
        *(
            (f"variable {variable['name']} (it needs a cluster)", True)
            for variable in container.get("env") or ()
            if "valueFrom" in variable
        ),
    )
    return [name for name, value in fields if value]


def _beside_gpus(resources: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether anything but GPUs is asked for."""
    return any(not is_gpu(name) for kind in ("limits", "requests") for name in resources.get(kind) or ())
