"""The options of the built-in trainer as `hypersweep hyperparameters` prints them."""

from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hypersweep_trainer.options import OPTIONS, PRESETS, Option, brief, described, rounded, shown

LONGEST = max(map(len, OPTIONS))
MORE = "One of them in full: hypersweep hyperparameters NAME. In a manifest: spec.trainer, spec.parameters."


def every() -> RenderableType:
    """All options, group by group: name, default, values, meaning."""
    groups = [_group(name, list(options)) for name, options in groupby(OPTIONS.values(), lambda o: o.group)]
    return Group(*groups, Text(MORE))


def _group(name: str, options: list[Option]) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("option", no_wrap=True, width=LONGEST)
    table.add_column("default", width=len("cross_entropy"), overflow="fold")
    table.add_column("values", ratio=2, overflow="fold")
    table.add_column("meaning", ratio=3, overflow="fold")
    for option in options:
        table.add_row(
            Text(option.name, "bold"), Text(shown(option.default)), Text(brief(option)), Text(option.meaning)
        )
    return Group(Text(name, "bold underline"), table, Text())


def one(option: Option) -> RenderableType:
    """Everything that is known of an option."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for heading, words in described(option):
        table.add_row(heading, Text(words))
    if option.name == "preset":
        for name, values in PRESETS.items():
            words = ", ".join(f"{key} {value}" for key, value in rounded(values).items())
            table.add_row(name, Text(words or "nothing"))
    head = Text.assemble((option.name, "bold"), f"  {option.meaning}")
    return Group(head, Padding(table, (0, 0, 0, 2)))
