"""Manifests that must be refused, and the words: read locally, by the API server, or by the operator."""

from dataclasses import dataclass
from typing import Any

from hypersweep.document import read

SOUND = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: sound}
spec:
  objectives: [{metric: val_accuracy, goal: maximize}]
  parameters:
    - {name: lr, float: {min: 1e-4, max: 1e-1, scale: log}, start: 1e-3}
    - {name: depth, int: {min: 1, max: 4}}
  strategy: {grid: {points: 3}}
  maxTrials: 9
  trainer: {data: digits, epochs: 1}
"""


@dataclass(frozen=True)
class Wrong:
    """A sound manifest with some sections replaced (or removed by null)."""

    name: str
    sections: str
    problems: tuple[str, ...]  # exactly these, locally
    refused: str = ""  # what the API server says; nothing when it is left to the operator
    metadata: str = "{name: wrong}"

    @property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = read(SOUND)[0]
        sections = read(self.sections)
        manifest["metadata"] = read(self.metadata)[0]
        manifest["spec"] = manifest["spec"] | (sections[0] if sections else {})
        manifest["spec"] = {name: value for name, value in manifest["spec"].items() if value is not None}
        return manifest


WRONG = (
    Wrong(
        "an unknown field",
        "paralellism: 4",
        ("spec.paralellism: no such field; did you mean parallelism?",),
        'unknown field "spec.paralellism"',
    ),
    Wrong(
        "a field of a strategy that has none",
        "strategy: {random: {trials: 4}}",
        ("spec.strategy.random.trials: no such field; known: none",),
        'unknown field "spec.strategy.random.trials"',
    ),
    Wrong(
        "a parameter that the trainer does not know",
        "parameters: [{name: learning_rate, choice: [0.1, 0.01]}]",
        (
            "spec.parameters[0]: learning_rate is not an option of the built-in trainer; "
            "did you mean lr or min_lr_ratio?",
        ),
    ),
    Wrong(
        "an option of the trainer without an effect",
        "trainer: {optimizer: adamw, momentum: 0.5}",
        (
            "spec.trainer.momentum: needs optimizer sgd, rmsprop or muon, but found adamw, "
            "so it would have no effect",
        ),
    ),
    Wrong(
        "a metric that the trainer does not report",
        "objectives: [{metric: acc, goal: maximize}]",
        (
            "spec.objectives[0].metric: must be one of train_loss, val_loss, val_accuracy, "
            "val_balanced_accuracy, val_f1, val_top5_accuracy, val_auroc, val_average_precision, "
            'val_log_loss, val_calibration_error, but found "acc"',
        ),
    ),
    Wrong(
        "min above max",
        "parameters: [{name: lr, float: {min: 1, max: 0.1}}]",
        ("spec.parameters[0].float: min < max must hold, but found min=1, max=0.1",),
        "spec.parameters[0].float: Invalid value: min < max must hold",
    ),
    Wrong(
        "a log scale from zero",
        "parameters: [{name: lr, float: {min: 0, max: 0.1, scale: log}}]",
        ("spec.parameters[0].float: a log scale needs min > 0, but found min=0",),
        "spec.parameters[0].float: Invalid value: a log scale needs min > 0",
    ),
    Wrong(
        "two strategies",
        "strategy: {grid: {points: 3}, random: {}}",
        (
            "spec.strategy: exactly one of list, grid, random, sobol, bayesian, iterative must be given, "
            "but found grid, random",
        ),
        "spec.strategy: Invalid value: exactly one of list, grid, random, sobol, bayesian, iterative "
        "must be given",
    ),
    Wrong(
        "a grid over a float without points",
        "strategy: {grid: {}}",
        (
            "spec.parameters[0].float: a grid over a float without step needs points, "
            "or perDecade of a log scale, but found neither",
        ),
        "spec.strategy.grid: Invalid value: a grid over a float without step needs points, "
        "or perDecade of a log scale",
    ),
    Wrong(
        "two parameters of one name",
        "parameters: [{name: lr, choice: [0.1]}, {name: lr, choice: [0.2]}]",
        ("spec.parameters[1].name: each name must stand once, but found lr again",),
        'spec.parameters[1]: Duplicate value: {"name":"lr"}',
    ),
    Wrong(
        "two names that become one variable",
        """
        parameters: [{name: a-b, choice: [0.1]}, {name: a_b, choice: [0.2]}]
        trainer: null
        trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}
        """,
        (
            "spec.parameters[1].name: each name must give an environment variable of its own, "
            "but found HYPERSWEEP_PARAM_A_B for a-b and a_b",
        ),
    ),
    Wrong(
        "a start outside of its range",
        "parameters: [{name: depth, int: {min: 1, max: 4}, start: 9}]",
        ("spec.parameters[0].start: must be from 1 to 4, but found 9",),
    ),
    Wrong(
        "a start that no step reaches",
        "parameters: [{name: dropout, float: {min: 0, max: 0.5, step: 0.1}, start: 0.25}]",
        ("spec.parameters[0].start: must be from 0 to 0.5 in steps of 0.1, but found 0.25",),
    ),
    Wrong(
        "a stage of an undeclared parameter",
        "strategy: {iterative: {stages: [{parameters: [lr], retune: [dropout]}]}}",
        (
            "spec.strategy.iterative.stages[0].retune[0]: must be a declared parameter, but found dropout; "
            "declared: lr, depth",
        ),
        "spec.strategy.iterative.stages: Invalid value: each name of a stage's retune "
        "must be a declared parameter",
    ),
    Wrong(
        "what is not built",
        """
        constraints: ["depth < 4"]
        strategy: {iterative: {stages: [{parameters: [lr], data: 0.2, search: {sobol: {}}}], passes: 2}}
        trial: {queue: team-a}
        """,
        (
            "spec.constraints: not supported yet",
            "spec.strategy.iterative.stages[0].search.sobol: not supported yet",
            "spec.strategy.iterative.stages[0].data: not supported yet",
            "spec.strategy.iterative.passes: not supported yet",
            "spec.trial.queue: not supported yet",
        ),
        "spec.constraints: Forbidden: not supported yet",
    ),
    Wrong(
        "a second objective",
        "objectives: [{metric: val_accuracy, goal: maximize}, {metric: val_loss, goal: minimize}]",
        ("spec.objectives[1]: not supported yet",),
        "spec.objectives: Forbidden: not supported yet",
    ),
    Wrong(
        "random without an end",
        "{strategy: {random: {}}, maxTrials: null}",
        (
            "spec.strategy.random: random never ends by itself: maxTrials, budget or a target must be given, "
            "but found none",
        ),
        "spec.strategy.random: Invalid value: random never ends by itself: maxTrials, budget or a target "
        "must be given",
    ),
    Wrong(
        "fewer runs than seeds",
        "{seeds: 5, maxTrials: 4}",
        (
            "spec.maxTrials: maxTrials >= seeds must hold: a configuration runs once per seed, "
            "but found maxTrials=4, seeds=5",
        ),
        "spec.maxTrials: Invalid value: maxTrials >= seeds must hold",
    ),
    Wrong(
        "a condition that can never hold",
        """
        parameters:
          - {name: optimizer, choice: [sgd, adamw]}
          - {name: momentum, cases: [{when: {optimizer: [lamb]}, choice: [0.5, 0.9]}]}
        """,
        ('spec.parameters[1].cases[0].when.optimizer: must be one of "sgd", "adamw", but found "lamb"',),
    ),
    Wrong(
        "conditions in a circle",
        """
        parameters:
          - {name: a, cases: [{when: {b: [1]}, choice: [1, 2]}]}
          - {name: b, cases: [{when: {a: [1]}, choice: [1, 2]}]}
        trainer: null
        trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}
        """,
        ("spec.parameters: cases must not depend on each other in a circle, but found a, b",),
    ),
    Wrong(
        "a pod template that takes what is the operator's",
        """
        trial:
          podTemplate:
            spec:
              restartPolicy: Always
              containers: [{name: main, env: [{name: PET_NNODES, value: "2"}]}]
        """,
        (
            'spec.trial.podTemplate.spec.restartPolicy: must be left to the operator, but found "Always"',
            "spec.trial.podTemplate.spec.containers: the trial's container must be named trial, "
            'but found ["main"]',
            "spec.trial.podTemplate.spec.containers[0].env[0].name: must be left to the operator, "
            "but found PET_NNODES",
        ),
    ),
    Wrong(
        "a store of another kind",
        "store: {url: 'http://bucket'}",
        ('spec.store.url: must be s3://bucket or s3://bucket/prefix, but found "http://bucket"',),
        'spec.store.url: Invalid value: "http://bucket": must be s3://bucket or s3://bucket/prefix',
    ),
    Wrong(
        "a wrong type",
        "seeds: many",
        ('spec.seeds: must be a whole number, but found "many"',),
        'spec.seeds: Invalid value: "string": spec.seeds in body must be of type integer',
    ),
    Wrong(
        "several wrong values at once",
        """
        retries: {errors: -1}
        trial: {nodes: 0, timeout: soon}
        """,
        (
            "spec.retries.errors: must be at least 0, but found -1",
            "spec.trial.nodes: must be at least 1, but found 0",
            'spec.trial.timeout: must be a duration such as 90s, 30m or 1h30m, but found "soon"',
        ),
        "spec.trial.nodes: Invalid value: 0: spec.trial.nodes in body should be greater than or equal",
    ),
    Wrong(
        "a name that is too long for its children",
        "",
        (
            "metadata.name: must be at most 40 characters long, but found 41: "
            "a2345678901234567890123456789012345678901",
        ),
        "metadata.name: must be at most 40 characters long",
        metadata="{name: a2345678901234567890123456789012345678901}",
    ),
    Wrong(
        "a name that no host can have",
        "",
        (
            "metadata.name: must be lower-case letters, digits and -, begin with a letter and not end "
            'with -, but found "1.sweep"',
        ),
        "metadata.name: must be lower-case letters, digits and -, begin with a letter and not end with -",
        metadata="{name: 1.sweep}",
    ),
)
