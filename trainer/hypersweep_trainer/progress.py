"""How far a trial is, in a document so short that one may read those of many trials every few seconds."""

import json
from collections.abc import Mapping
from typing import Any

from hypersweep.contract import PROGRESS_LIMIT

WHERE = ("step", "epoch", "time")


def document(latest: Mapping[str, Any], rungs: Mapping[str, Any], objective: str = "") -> str:
    """`progress.json` of the latest values and of the objective's at each rung, in PROGRESS_LIMIT bytes.

    What does not fit is left out: first how the run goes, then metrics, the oldest rungs, and the objective.
    """
    metrics, run = latest.get("metrics", {}), latest.get("run", {})
    found: dict[str, Any] = {name: latest[name] for name in WHERE if name in latest}
    found |= {"metrics": {}, "rungs": {}, "run": {}}
    left = PROGRESS_LIMIT - len(json.dumps(found))
    by_worth = (
        *(("metrics", name, value) for name, value in metrics.items() if name == objective),
        *(("rungs", name, value) for name, value in reversed([*rungs.items()])),
        *(("metrics", name, value) for name, value in metrics.items() if name != objective),
        *(("run", name, value) for name, value in run.items()),
    )
    for section, name, value in by_worth:
        size = len(json.dumps({name: value}))  # its braces stand for a comma and a space
        if size <= left:
            found[section][name] = value
            left -= size
    return json.dumps({**found, "rungs": dict(reversed(found["rungs"].items()))})
