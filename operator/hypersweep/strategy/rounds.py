"""A round: slots that are fixed when it opens and judged once each of them has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypersweep.journal import History
from hypersweep.trial import Slot, Status, Suggestion, Trial

Run = tuple[str, int]  # what makes two runs the same: configuration and seed


@dataclass(frozen=True)
class Cell:
    """A slot and what is to run in it."""

    slot: Slot
    suggestion: Suggestion

    @property
    def run(self) -> Run:
        return self.suggestion.configuration, self.suggestion.seed


def fill(history: History, cells: Sequence[Cell]) -> dict[Slot, Trial | None]:
    """The trial that each slot stands for, None where it is still to be launched.

    A run is never repeated: a cell that equals one before it in the round shares its trial, and one that
    ran to a result in an earlier round reuses that. All of this is settled when the round opens, since
    earlier rounds have ended by then; a run that failed has no result and gets another chance.
    """
    own = {cell.slot: history.at(cell.slot) for cell in cells}
    missing = {cell.run for cell in cells if own[cell.slot] is None}
    known = results(history, missing) if missing else {}
    for cell in cells:  # what this round launched itself goes before anything older
        if (trial := own[cell.slot]) is not None:
            known[cell.run] = trial
    return {cell.slot: own[cell.slot] or known.get(cell.run) for cell in cells}


def missing(cells: Sequence[Cell], filled: Mapping[Slot, Trial | None]) -> list[Suggestion]:
    """What a round has yet to launch, in its order, equal runs once."""
    wanted: dict[Run, Suggestion] = {}
    for cell in cells:
        if filled[cell.slot] is None:
            wanted.setdefault(cell.run, cell.suggestion)
    return list(wanted.values())


def finished(filled: Mapping[Slot, Trial | None]) -> dict[Slot, Trial] | None:
    """The trials of a round that can be judged; None while some slot is open."""
    ended = {slot: trial for slot, trial in filled.items() if trial is not None and trial.finished}
    return ended if len(ended) == len(filled) else None


def results(history: History, wanted: set[Run]) -> dict[Run, Trial]:
    """Trials that came to a result, by what they ran."""
    found: dict[Run, Trial] = {}
    for trial in history.trials.values():
        if trial.status in (Status.DONE, Status.INFEASIBLE):
            run = trial.suggestion.configuration, trial.suggestion.seed
            if run in wanted:
                found[run] = trial
    return found
