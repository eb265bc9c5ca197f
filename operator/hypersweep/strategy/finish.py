"""How a strategy says that it has nothing left to suggest."""

from dataclasses import dataclass

COMPLETED = "Completed"
SPACE_EXHAUSTED = "SpaceExhausted"
TARGET_REACHED = "TargetReached"
NO_FEASIBLE_ARM = "NoFeasibleArm"


@dataclass(frozen=True)
class Finish:
    """Nothing will ever be suggested again, and every suggestion has ended."""

    reason: str
    message: str
    failed: bool = False
