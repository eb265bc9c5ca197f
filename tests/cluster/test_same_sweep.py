"""One sweep, run on a laptop and on a cluster: the same trials, the same decisions."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypersweep.journal import Decided, Fact, decode

from .operator_process import Operator
from .s3 import Bucket
from .sweep import Applied, a_sweep, outcome
from .up import Cluster

NOISY = """
import json, os, random
p = json.loads(os.environ["HYPERSWEEP_PARAMETERS"])
noise = random.Random(os.environ["HYPERSWEEP_SEED"] + json.dumps(p, sort_keys=True)).gauss(0, 0.05)
loss = (p["x"] - 3) ** 2 + {"a": 2, "b": 0, "c": 1}[p["kind"]] + noise
open(os.environ["HYPERSWEEP_TERMINATION_LOG"], "w").write(json.dumps({"loss": loss}))
"""


def an_iterative_sweep() -> dict[str, Any]:
    manifest = a_sweep("both", script=NOISY)
    manifest["spec"] |= {
        "parameters": [
            {"name": "kind", "choice": ["a", "b", "c"], "start": "a"},
            {"name": "x", "int": {"min": 1, "max": 4}, "start": 1},
        ],
        "strategy": {
            "iterative": {"stages": [{"parameters": ["kind"]}, {"parameters": ["x"]}], "final": {"seeds": 2}}
        },
        "parallelism": 4,
        "seed": 11,
    }
    return manifest


def decisions(facts: list[Fact]) -> list[tuple[Any, ...]]:
    found = [fact for fact in facts if isinstance(fact, Decided)]
    return [(d.stage, d.kind, d.round, dict(d.parameters), d.adopted, d.why) for d in found]


def test_a_sweep_has_the_same_trials_and_decisions_here_and_on_a_cluster(
    cluster: Cluster, namespace: str, operator: Callable[..., Operator], s3: Bucket, tmp_path: Path
) -> None:
    manifest = tmp_path / "both.yaml"
    manifest.write_text(json.dumps(an_iterative_sweep()))
    command = [
        str(Path(sys.executable).parent / "hypersweep"),
        "run",
        str(manifest),
        "--store",
        str(tmp_path / "runs"),
    ]
    subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL)
    segments = sorted((tmp_path / "runs").glob("**/journal/*.jsonl"))
    here = [fact for segment in segments for fact in decode(segment.read_bytes())]

    operator(flags=["--store-url", s3.url, "--store-endpoint", s3.endpoint]).start()
    sweep = Applied.apply(cluster, namespace, an_iterative_sweep())
    status = sweep.await_end(150)
    there = sweep.facts(s3)

    assert status["phase"] == "Succeeded"
    assert outcome(there) == outcome(here)
    assert decisions(there) == decisions(here)
    assert len(decisions(here)) >= 2
