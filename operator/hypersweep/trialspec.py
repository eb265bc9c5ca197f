"""How the trials of a sweep run: the fields of limits, pods and stores, and the rules between them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from hypersweep.contract import CONTAINER
from hypersweep.podtemplate import is_gpu
from hypersweep.rule import Model, Rule, exactly_one, quoted
from hypersweep.scalar import (
    OBJECT_NAME,
    STORE_URL,
    Count,
    Duration,
    Number,
    Open,
    Positive,
    Quantity,
    Text,
    Whole,
)

# -- limits


class Budget(Model):
    RULES = (
        Rule(
            "gpuHours or wallClock must be given",
            "has(self.gpuHours) || has(self.wallClock)",
            lambda b: b.gpu_hours is not None or b.wall_clock is not None,
            lambda b: "neither",
        ),
    )

    gpu_hours: Number | None = Field(default=None, gt=0, description="GPU hours of all attempts together.")
    wall_clock: Duration | None = Field(default=None, description="Time since the sweep began.")


class Retries(Model):
    errors: Count = Field(default=1, description="Further attempts of a trial after errors. Default: 1.")
    preemptions: Count = Field(
        default=20, description="Further attempts after preemptions and lost nodes. Default: 20."
    )


# -- how a trial runs


class Resources(Model):
    RULES = (
        Rule(
            "limits of GPUs must be whole numbers",
            None,
            lambda r: all(str(limit).isdecimal() for name, limit in r.limits.items() if is_gpu(name)),
            quoted("limits"),
        ),
    )

    limits: dict[str, Quantity] = Field(
        default_factory=dict, max_length=32, description="Most that a node's share of the trial may use."
    )
    requests: dict[str, Quantity] = Field(
        default_factory=dict, max_length=32, description="What is set aside for it."
    )


class TrialSpec(Model):
    image: str = Field(
        default="",
        strict=True,
        max_length=1024,
        description="Image of the trial. Default: the operator's trainer image.",
    )
    nodes: Whole = Field(
        default=1, ge=1, le=1000, description="Pods of one trial, all needed at once. Default: 1."
    )
    ranks: Whole | None = Field(
        default=None, ge=1, le=64, description="Processes per node. Default: the limit of GPUs, else 1."
    )
    resources: Resources = Field(default=Resources(), description="Resources of the container, per node.")
    queue: str | None = Field(
        default=None, strict=True, pattern=OBJECT_NAME, max_length=63, description="A Kueue LocalQueue."
    )
    timeout: Duration | None = Field(default=None, description="Longest run of one attempt.")
    start_timeout: Duration | None = Field(
        default=None, description="Longest wait until an attempt's pods run."
    )
    progress_timeout: Duration | None = Field(
        default=None,
        description="Longest silence of a running attempt; not counted while the store does not answer.",
    )
    expected_time: Duration | None = Field(default=None, description="What one trial is expected to take.")
    pod_template: Open = Field(
        default_factory=dict,
        description="Merged over the pod as a strategic merge would: any field, image and command. "
        f"The trial's container is named {CONTAINER}; one with a command replaces the built-in trainer.",
    )

    @property
    def container(self) -> Mapping[str, Any]:
        """What `podTemplate` says of the trial's container."""
        spec = self.pod_template.get("spec")
        containers = spec.get("containers") if isinstance(spec, dict) else None
        found = containers if isinstance(containers, list) else []
        return next((c for c in found if isinstance(c, dict) and c.get("name") == CONTAINER), {})

    @property
    def command(self) -> tuple[str, ...] | None:
        """Command and arguments of a container that brings its own; None for the built-in trainer."""
        command, args = (self.container.get(field) for field in ("command", "args"))
        if not isinstance(command, list) or not command:
            return None
        return tuple(map(str, command + (args if isinstance(args, list) else [])))

    @property
    def gpus(self) -> int:
        """GPUs of one node's pod: the limits of every resource that is one, or a part of one."""
        own = self.container.get("resources")
        limits = self.resources.limits | ((own.get("limits") if isinstance(own, dict) else None) or {})
        return sum(int(limit) for name, limit in limits.items() if is_gpu(name))

    @property
    def ranks_per_node(self) -> int:
        return self.gpus or self.ranks or 1


# -- where results lie


class Keep(Model):
    checkpoints: Literal["all", "best", "last", "none"] = Field(
        default="all", description="Checkpoints to keep."
    )
    days: Positive | None = Field(default=None, description="Days after which everything else is deleted.")


class StoreSpec(Model):
    url: str = Field(
        strict=True, pattern=STORE_URL, max_length=1024, description="Where everything is written."
    )
    secret_name: str | None = Field(
        default=None,
        strict=True,
        pattern=OBJECT_NAME,
        max_length=253,
        description="Secret of the sweep's namespace with the trials' credentials, as environment variables.",
    )
    keep: Keep | None = Field(default=None, description="What to delete, and when.")


class Reuse(Model):
    RULES = (exactly_one("sweep", "url"),)

    sweep: Text | None = Field(default=None, description="A sweep of this namespace.")
    url: Text | None = Field(default=None, description="The prefix of a sweep in a store.")


class RetryRequest(Model):
    trial: Count = Field(description="Number of the trial.")
    after: Count = Field(description="Its attempt after which one more is wanted.")
