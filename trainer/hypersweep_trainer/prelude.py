"""What comes before the first step: each rank by itself, and together wherever one was asked to stop."""

from collections.abc import Callable
from typing import TypeVar

from hypersweep_trainer.outage import answer
from hypersweep_trainer.rank import Ranks
from hypersweep_trainer.stop import Stopped

T = TypeVar("T")


class Prelude:
    """The ranks while they load, look for rates and check; none of them ends it without the others.

    It makes no progress known: whoever watches for a hang begins with the first step.
    """

    def __init__(self, ranks: Ranks, should_stop: Callable[[], bool]) -> None:
        self.ranks = ranks
        self._should_stop = should_stop

    def asked(self) -> bool:
        """Whether this rank was asked to stop, or another one as far as is known here."""
        return self.ranks.asked(self._should_stop())

    def look(self) -> None:
        """Raise Stopped once one was asked to; within `each` and `spread`, where all of them then meet."""
        if self.asked():
            raise Stopped

    def each(self, work: Callable[[], T]) -> T:
        """What a rank does by itself, once all have done it; raises Stopped on all once one was asked to."""
        try:
            found = work()
        except Stopped:
            self._meet()
            raise
        self._meet()
        return found

    def spread(self, ask: Callable[[], bytes | None]) -> bytes | None:
        """What rank 0 finds, by itself or in its store."""
        return self.ranks.spread(self.each(ask if self.ranks.rank == 0 else lambda: None))

    def read(self, ask: Callable[[], bytes | None]) -> bytes | None:
        """What rank 0's store answers, for all, however long it is away."""
        return self.spread(lambda: answer(ask, self.look))

    def _meet(self) -> None:
        if self.ranks.meet(self.asked):
            raise Stopped
