"""What a check says: whether all is well, what was found, what was expected, and a sentence."""

import math
from typing import Any

Verdict = dict[str, Any]  # verdict: ok | hint | fail; found; expected; words. Empty where a check has no say


def ok(found: float, expected: float, words: str) -> Verdict:
    return _verdict("ok", found, expected, words)


def hint(found: float, expected: float, words: str) -> Verdict:
    """Worth knowing, and no reason to stop a sweep: other values of the same options may do better."""
    return _verdict("hint", found, expected, words)


def fail(found: float, expected: float, words: str) -> Verdict:
    """Wrong whatever a sweep tries next."""
    return _verdict("fail", found, expected, words)


def _verdict(kind: str, found: float, expected: float, words: str) -> Verdict:
    known = found if math.isfinite(found) else None  # JSON has no NaN
    return {"verdict": kind, "found": known, "expected": expected, "words": words}
