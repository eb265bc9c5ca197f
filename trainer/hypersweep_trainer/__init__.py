"""HyperSweep's built-in trainer; inside a trial, `parameters()` and `report()` serve a script of your own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypersweep_trainer.script import parameters as parameters
    from hypersweep_trainer.script import report as report

__all__ = ["parameters", "report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hypersweep_trainer import (
        script,
    )  # only when asked for: the operator reads the table of options alone

    return getattr(script, name)
