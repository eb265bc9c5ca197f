"""Telling want of memory from other errors."""


def exhausted(error: BaseException) -> bool:
    """Whether an allocation failed: on a GPU torch has a type for it, on the CPU a sentence."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
