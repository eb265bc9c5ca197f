"""Builders of specs and orders, and of the Jobs that they are rendered to."""

from typing import Any

from hypersweep.api import SweepSpec
from hypersweep.job import render
from hypersweep.runner import Order
from hypersweep.trial import Suggestion

UID = "5f0c"
STORE = f"s3://sweeps/team-a/ns/digits-{UID}"


def a_spec(*, trial: dict[str, Any] | None = None, **fields: Any) -> SweepSpec:
    document: dict[str, Any] = {
        "objectives": [{"metric": "val_loss", "goal": "minimize"}],
        "parameters": [{"name": "lr", "float": {"min": 1e-4, "max": 1, "scale": "log"}}],
        "strategy": {"random": {}},
        "maxTrials": 10,
        "trial": trial or {},
    }
    return SweepSpec.model_validate(document | fields)


def with_container(**fields: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "trial", **fields}]}}}


def an_order(trial: int = 7, attempt: int = 1, **fields: Any) -> Order:
    parameters = fields.pop("parameters", {"lr": 0.1})
    return Order(trial, attempt, Suggestion(parameters, seed=11, **fields))


def a_job(spec: SweepSpec | None = None, order: Order | None = None, **place: Any) -> dict[str, Any]:
    place = {"image": "trainer:1"} | place
    return render(spec or a_spec(), "digits", "ns", UID, order or an_order(), **place)
