"""What the processes below this one use: CPU time by name, and the memory of one of them."""

import os
from collections import Counter
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu() -> Counter[str]:
    """Milliseconds of CPU that each child, and this process itself, has used so far."""
    used: Counter[str] = Counter()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # the name in the second field may hold blanks
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:  # it has just ended
            continue
        parent, milliseconds = int(fields[1]), (int(fields[11]) + int(fields[12])) * 1000 // TICKS
        if int(folder.name) == os.getpid():
            used["this process"] += milliseconds
        elif parent == os.getpid() and milliseconds:
            used[_name(words)] += milliseconds
    return used


def _name(words: list[str]) -> str:
    """A Python process by its module."""
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name


def memory(pid: int) -> float:
    """Resident MiB of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no memory")
