"""The command `hypersweep`: run a sweep here, check manifests, look at results, run the operator."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from hypersweep import api, document, drive, model_cli, place, table
from hypersweep import hyperparameters as options
from hypersweep import run as local
from hypersweep.journal import History, decode
from hypersweep.reconcile import SpecChanged
from hypersweep.store import StoreError, StoreJournal, open_store, sub
from hypersweep.usage import Unusable, need
from hypersweep_trainer.options import OPTIONS, near

SWEEP = re.compile(r"[^/]+/([^/]+/)?journal/")  # as a local run or the operator lays it out


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hypersweep", prog_name="hypersweep")
def main() -> None:
    """Hyperparameter sweeps, on this machine or on Kubernetes, from the same manifest."""


@main.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--store", metavar="DIR|s3://…", help="Where results go, in a folder per sweep.  [default: runs]"
)
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    help="Trials at once.  [default: spec.parallelism, at most one per core]",
)
def run(manifest: Path, store: str | None, parallel: int | None) -> None:
    """Run a sweep on this machine; run it again to go on where it stopped."""
    try:
        sweep = api.load(_text(manifest))
    except api.SpecError as error:
        _complain(str(manifest), error.problems)
        sys.exit(1)
    if sweep.spec.trial.command is None:
        need("trainer", "torch", "sklearn")
    limit = parallel or min(sweep.spec.parallelism, _cores())
    again = shlex.join(["hypersweep", *sys.argv[1:]])
    with _explained():
        code = local.run(sweep, manifest.parent, store, limit, again, Console(highlight=False))
    sys.exit(code)


def _cores() -> int:
    """A trial of the built-in trainer keeps a core busy, so more at once would only take turns."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@main.command()
@click.argument("manifests", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
def validate(manifests: tuple[Path, ...]) -> None:
    """Say everything that is wrong with manifests, in the operator's words; `-` is stdin."""
    wrong = False
    for path in manifests:
        try:
            documents = document.read(_text(path))
        except ValueError as error:
            raise Unusable(f"{path}: not YAML: {error}") from error
        if not documents:
            raise Unusable(f"{path}: a manifest must be given, but the file is empty")
        for found in documents:
            problems = api.problems(found) if isinstance(found, dict) else ["a manifest must be an object"]
            name = str(path) if len(documents) == 1 else f"{path} ({_name(found)})"
            wrong = wrong or bool(problems)
            if problems:
                _complain(name, problems)
            else:
                click.echo(f"{name}: valid")
    sys.exit(wrong)


def _name(found: object) -> str:
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return str(metadata.get("name")) if isinstance(metadata, dict) else "unnamed"


@main.command()
@click.argument("folder", metavar="DIR|s3://…")
def show(folder: str) -> None:
    """Show what a sweep has done so far: its trials, its decisions, its best."""
    out = Console(highlight=False)
    with _explained():
        name, history = _history(folder)
    assert history.opened is not None
    spec = api.searched(history.opened.spec)
    conclusion = table.conclusion(spec, history, over=not history.unfinished)
    out.print(f"{name}: {spec.strategy.kind}, {table.progress(spec, history)}", markup=False)
    out.print(table.trials(spec, history))
    for line in (*map(table.decision, history.decisions), *conclusion):
        out.print(line, markup=False, soft_wrap=True)


main.add_command(show, "status")
for command in (model_cli.predict, model_cli.evaluate, model_cli.export):
    main.add_command(command)


def _history(url: str) -> tuple[str, History]:
    """The one sweep that lies at a place or right below it."""
    store = open_store(url)
    segments = StoreJournal(store).since(0)
    if not segments:
        below = sorted({key.partition("/journal/")[0] for key in store.list() if SWEEP.match(key)})
        if len(below) != 1:
            what = f"these do: {', '.join(below)}" if below else "there is no journal"
            raise ValueError(f"{url}: one sweep must lie there, but {what}")
        store = sub(store, below[0])
        segments = StoreJournal(store).since(0)
    history = History()
    for segment in segments:
        history = history.fold(decode(segment))
    return store.url.rpartition("/")[2], history


@main.command()
@click.argument("name", required=False)
def hyperparameters(name: str | None) -> None:
    """Print the options of the trainer, or all about one."""
    out = Console(highlight=False)
    if name is None:
        out.print(options.every())
        return
    if name not in OPTIONS:
        meant = " or ".join(near(name))
        hint = f"; did you mean {meant}?" if meant else ""
        raise Unusable(f"{name} is not an option of the built-in trainer{hint}")
    out.print(options.one(OPTIONS[name]))


@main.command()
def crd() -> None:
    """Print the CustomResourceDefinition of HyperSweep, for `kubectl apply -f -`."""
    from hypersweep import crd as definition  # the whole schema, which no other command needs

    click.echo(definition.text(), nl=False)


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def operator(arguments: tuple[str, ...]) -> None:
    """Run the Kubernetes operator."""
    need("operator", "kopf", "kubernetes", "prometheus_client")
    from hypersweep import handlers

    handlers.main(arguments, prog_name="hypersweep operator")


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"cannot read {path}: it must be text") from error


def _complain(name: str, problems: list[str]) -> None:
    click.echo(f"{name}: {len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
    for problem in problems:
        click.echo(f"  {problem}", err=True)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What the world refuses, as a sentence."""
    try:
        yield
    except SpecChanged as error:
        lines = "".join(f"\n  {field}" for field in error.fields)
        message = "a sweep of this name began with another search; name this one differently, or give --store"
        raise click.ClickException(f"{message}:{lines}") from error
    except drive.Contended as error:
        raise click.ClickException("another process writes to this sweep's journal") from error
    except (place.Busy, StoreError, ValueError) as error:
        raise click.ClickException(str(error)) from error
