"""How the command says that it cannot go on."""

import importlib.util

import click

UNUSABLE = 2  # the command line or a file that it names


class Unusable(click.ClickException):
    exit_code = UNUSABLE


def need(extra: str, *packages: str) -> None:
    """Raise what ends the command when packages of an extra are not installed."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        how = f"in a checkout of HyperSweep, pip install '.[{extra}]'"
        raise click.ClickException(f"{', '.join(missing)} must be installed: {how}")
