"""Where rows can lie: how much memory of the device they may fill, and what is left of it."""

import math
import os
from pathlib import Path

import torch

from hypersweep_trainer.config import Place

# Of the free memory. The rest of a GPU's is for the network, its gradients and its activations. On the host
# rows may lie as they were read and as they are trained on, and trials that start at once see the same memory
# as free: five of them fit.
SHARE = {"cuda": 0.4, "cpu": 0.1}


class Room:
    """Memory of the device that rows may still fill, beside those of this node's other ranks."""

    def __init__(self, resident: str, device: torch.device) -> None:
        self._left = _allowed(resident, device)

    def takes(self, size: int) -> bool:
        """Whether so many bytes fit, which are then no longer free."""
        if size > self._left:
            return False
        self._left -= size
        return True


def _allowed(resident: str, device: torch.device) -> float:
    match resident:
        case "device":
            return math.inf
        case "host":
            return 0.0
    return SHARE[device.type] * free(device) / _sharers(device)


def _sharers(device: torch.device) -> int:
    """Ranks of this node that have their rows in the same memory."""
    ranks = Place.read(os.environ).per_node  # a launcher hands its variables on to all of them
    return ranks if device.type == "cpu" else math.ceil(ranks / torch.cuda.device_count())


def free(device: torch.device) -> int:
    """Bytes that are left: on the GPU, with what torch keeps there for itself, or in this container."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = int(_fields(meminfo)["MemAvailable:"]) * 1024
    group = Path("/sys/fs/cgroup")
    limit = group / "memory.max"
    if not limit.exists() or limit.read_text().strip() == "max":
        return available
    cache = int(_fields(group / "memory.stat")["inactive_file"])  # given back when memory is short
    used = int((group / "memory.current").read_text()) - cache
    return min(available, int(limit.read_text()) - used)


def _fields(file: Path) -> dict[str, str]:
    """The second word of each line by its first."""
    return {words[0]: words[1] for line in file.read_text().splitlines() if (words := line.split())}
