"""`hypersweep run`: puts store, lock, processes, loop and view of a local sweep together."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hypersweep import command, drive, place, preflight, table, view
from hypersweep.api import HyperSweep, SweepSpec
from hypersweep.goal import SweepPhase
from hypersweep.local import LocalRunner, Place
from hypersweep.pool import Pool
from hypersweep.process import Guard
from hypersweep.reconcile import Step, Sweep
from hypersweep.store import Store, StoreJournal
from hypersweep.worker import TRAINER

INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@dataclass
class Local:
    """A sweep with everything that drives it on this machine."""

    sweep: Sweep
    runner: LocalRunner
    alarm: drive.Alarm


def run(manifest: HyperSweep, folder: Path, root: str | None, limit: int, again: str, out: Console) -> int:
    """Run a sweep to its end, or until somebody stops it; the exit status.

    Raises StoreError, Busy, Contended, SpecChanged, NoModel, and ValueError for a journal that nobody can
    read.
    """
    name = manifest.metadata.name
    spec = manifest.spec.model_copy(update={"parallelism": limit})
    store = place.own_store(root, name)
    where = place.shown(store)
    held = place.lock(store)
    _say(out, f"{name}: {spec.strategy.kind}, up to {limit} at once, results in {where}")
    if names := command.ignored(manifest.spec):
        _say(out, f"ignored on this machine: {', '.join(names)}")
    manifest = manifest.model_copy(update={"spec": spec})
    with local(manifest, store, folder, held, root=root) as here:
        here.sweep.load()
        before = here.sweep.history
        if before.launched:
            ended = sum(before.counts.values())
            _say(out, f"going on: {ended} of {before.launched} trials so far have ended")
        step = _driven(here, manifest, out)
    if step is None:
        _say(out, f"interrupted: everything so far is kept; go on with: {again}")
        return INTERRUPTED
    for line in table.conclusion(spec, step.plan.history, step.plan.phase.terminal, since=before):
        _say(out, line)
    _say(out, _outcome(spec, step))
    _say(out, f"results: {where}  (hypersweep show {shlex.quote(where)})")
    if before.launched == step.plan.history.launched and not before.unfinished:
        _say(out, f"nothing was left to do; without {where} it would begin anew")
    return 1 if step.plan.phase is SweepPhase.FAILED else 0


def _outcome(spec: SweepSpec, step: Step) -> str:
    """How a sweep ended, without repeating its last decision, or what its checks found."""
    plan = step.plan
    said = {preflight.stopped(spec, plan.history), *(found.why for found in plan.history.decisions[-1:])}
    return ": ".join(
        part for part in (plan.phase, plan.reason, "" if plan.message in said else plan.message) if part
    )


def _say(out: Console, line: str) -> None:
    out.print(line, soft_wrap=True, markup=False)


def _driven(here: Local, manifest: HyperSweep, out: Console) -> Step | None:
    """The last pass; None when the sweep was stopped before its end."""
    name, spec = manifest.metadata.name, manifest.spec
    shown = view.shown(name, spec, out, here.sweep.history, here.runner.said)
    try:
        with here.alarm.listening(), shown as seen:
            step = drive.drive(here.sweep, spec, here.alarm, seen, lambda: here.runner.unknown)
    except drive.Interrupted:
        return None
    return None if here.alarm.asked and not step.plan.phase.terminal else step


@contextlib.contextmanager
def local(
    manifest: HyperSweep,
    store: Store,
    folder: Path,
    held: int,
    trainer: str = TRAINER,
    root: str | None = None,
) -> Iterator[Local]:
    """The processes of a run, under a lock's descriptor; when this is left, none of them is alive."""
    scratch = Path(tempfile.mkdtemp(prefix="hypersweep-"))
    guard = Guard(scratch, [held])
    os.close(held)  # the guard has it: it ends last
    pool = Pool(guard, trainer)
    alarm = drive.Alarm()
    runner = None
    try:
        uid = place.identity(store)
        where = Place(store, folder.resolve(), scratch, dict(os.environ), os.environ.get("AWS_ENDPOINT_URL"))
        runner = LocalRunner(manifest.spec, manifest.metadata.name, uid, where, guard, pool, alarm.ring)
        runner.warm()
        sweep = Sweep(
            uid,
            StoreJournal(store),
            runner,
            store=store,
            find=lambda other: place.best_model(root, other),
        )
        yield Local(sweep, runner, alarm)
    finally:
        if runner is not None:
            runner.close()
        pool.close()
        guard.close()
