"""What `hypersweep run` shows: a live table in a terminal, lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.live import Live as LiveDisplay
from rich.text import Text

from hypersweep import preflight, strategy, table
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.reconcile import Step
from hypersweep.runner import Key

FRAMES = 4  # a second


class Lines:
    """A line for everything that happens."""

    def __init__(self, spec: SweepSpec, console: Console, known: History) -> None:
        self.verbose = True  # also what went well
        self._spec = spec
        self._console = console
        self._known = known

    def show(self, step: Step) -> None:
        before, after = self._known, step.plan.history
        self._known = after
        if before is after:
            return
        done, total = sum(after.counts.values()), strategy.planned(self._spec, after)
        for sentence, trouble in table.ends(self._spec, before, after):
            if trouble or self.verbose:
                self._line(f"[{done}/{'?' if total is None else total}] {sentence}", "red" if trouble else "")
        if preflight.found(before) != (checks := preflight.found(after)):
            for sentence, failed in table.checked(checks):
                self._line(sentence, "red" if failed else "yellow")
            if checks is not None and checks.advice:
                self._line(f"advice: {checks.advice}", "yellow")
        for decided in after.decisions[len(before.decisions) :]:
            self._line(table.decision(decided), "bold")

    def say(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=not self._console.is_terminal)


class Picture:
    """The sweep as it is, redrawn in place; decisions and troubles stay above it."""

    def __init__(
        self, name: str, spec: SweepSpec, console: Console, known: History, said: Callable[[Key], str]
    ) -> None:
        self._name = name
        self._spec = spec
        self._lines = Lines(spec, console, known)
        self._lines.verbose = False
        self._said = said
        self._began = datetime.now(UTC)
        self._step: Step | None = None

    def show(self, step: Step) -> None:
        self._lines.show(step)
        self._step = step

    def say(self, text: str) -> None:
        self._lines.say(text)

    def draw(self) -> RenderableType:
        if self._step is None:
            return Text()
        now = datetime.now(UTC)
        return table.picture(self._name, self._spec, self._step, now, self._began, self._said)


@contextmanager
def shown(
    name: str, spec: SweepSpec, console: Console, known: History, said: Callable[[Key], str]
) -> Iterator[Lines | Picture]:
    """The view that fits where the output goes."""
    if not console.is_terminal:
        yield Lines(spec, console, known)
        return
    view = Picture(name, spec, console, known, said)
    with LiveDisplay(console=console, get_renderable=view.draw, refresh_per_second=FRAMES, transient=True):
        yield view
