"""Why trials came to no result, in a sentence that quotes the commonest reasons."""

from collections import Counter
from collections.abc import Iterable

from hypersweep.trial import Status, Trial

QUOTED = 2  # different reasons
TEXT = 300  # characters of one


def quoted(trials: Iterable[Trial]) -> str:
    """How trials failed or were infeasible, the commonest ways first; empty when none did."""
    without = [trial.last for trial in trials if trial.status in (Status.FAILED, Status.INFEASIBLE)]
    ways = Counter(f"{attempt.end}: {attempt.reason}"[:TEXT].removesuffix(": ") for attempt in without)
    told = [f"{way} ({count} trials)" if count > 1 else way for way, count in ways.most_common(QUOTED)]
    more = len(ways) - len(told)
    return "; ".join([*told, f"and {more} more reason{'s' * (more > 1)}"] if more else told)


def after(sentence: str, trials: Iterable[Trial]) -> str:
    """A sentence, with what it is about where trials tell it."""
    why = quoted(trials)
    return f"{sentence}: {why}" if why else sentence
