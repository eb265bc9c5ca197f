"""Whether processes live."""

from pathlib import Path


def is_running(process: int) -> bool:
    """Whether a process still does something: nobody may be there to take the status of a dead one."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
