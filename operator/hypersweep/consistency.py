"""What the parts of a specification say of each other, and of the built-in trainer: is it one sweep?"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from hypersweep import combination, podtemplate, searchable
from hypersweep.combination import Together
from hypersweep.contract import parameter_env
from hypersweep.parameterspec import CaseSpec, ParameterSpec
from hypersweep.rule import shown
from hypersweep.space import Choice, Domain, Value, contains, same
from hypersweep.sweepspec import STORELESS_TRIALS, SweepSpec
from hypersweep_trainer import options

Names = Sequence[str]
Check = Callable[[SweepSpec, Names], Iterator[str]]


def problems(spec: SweepSpec, broken: Collection[str], names: Names) -> list[str]:
    """Everything that does not fit together, as far as the sections it is about could be read.

    `names` are those of all declared parameters, also of the ones that could not be read.
    """
    found = [
        sentence
        for rule in SweepSpec.RULES
        if not set(broken) & set(rule.reads) and (sentence := rule.problem("spec", spec))
    ]
    for check, reads in CHECKS.items():
        if not set(broken) & set(reads):
            found += check(spec, names)
    if "trainer" not in broken:
        found += _trainer(spec, names, None if "trial" in broken else _ranks(spec))
        found += _metrics(spec, names) if "objectives" not in broken else ()
    return found


def storeless(spec: SweepSpec, broken: Collection[str]) -> list[str]:
    """What a sweep without a store may not ask for: its journal is one object of the cluster."""
    found = []
    if "maxTrials" not in broken and (spec.max_trials or 0) > STORELESS_TRIALS:
        words = f"without a store it must be at most {STORELESS_TRIALS}"
        found.append(f"spec.maxTrials: {words}, but found {spec.max_trials}")
    if "trial" not in broken and spec.trial.progress_timeout is not None:
        words = "without a store it must not be given: nobody sees progress there"
        found.append(f"spec.trial.progressTimeout: {words}, but found {spec.trial.progress_timeout}")
    return found


# -- parameters


def _names(spec: SweepSpec, names: Names) -> Iterator[str]:
    """Each name stands once, and no two become one environment variable."""
    variables: dict[str, str] = {}
    for index, name in enumerate(names):
        path = f"spec.parameters[{index}].name"
        other = variables.setdefault(parameter_env(name), name)
        if name in names[:index]:
            yield f"{path}: each name must stand once, but found {name} again"
        elif other != name:
            yield (
                f"{path}: each name must give an environment variable of its own, "
                f"but found {parameter_env(name)} for {other} and {name}"
            )


def _parameters(spec: SweepSpec, names: Names) -> Iterator[str]:
    for parameter in spec.parameters:
        path = f"spec.parameters[{names.index(parameter.name)}]"
        yield from _range(parameter, path)
        for number, case in enumerate(parameter.cases or ()):
            yield from _range(case, f"{path}.cases[{number}]")
            yield from _when(spec, names, parameter, case, f"{path}.cases[{number}].when")


def _range(spec: ParameterSpec | CaseSpec, path: str) -> Iterator[str]:
    """A choice holds each value once, and a start is one of the values."""
    choice = spec.choice or ()
    for index, value in enumerate(choice):
        if any(same(value, earlier) for earlier in choice[:index]):
            yield f"{path}.choice[{index}]: each value must stand once, but found {shown(value)} again"
    if spec.start is None or getattr(spec, "cases", None):
        return
    if not contains(spec.domain, spec.start):
        yield f"{path}.start: must be {_described(spec.domain)}, but found {shown(spec.start)}"


def _described(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"one of {', '.join(map(shown, domain.values))}"
    steps = "" if domain.step in (None, 1) else f" in steps of {shown(domain.step)}"
    return f"from {shown(domain.min)} to {shown(domain.max)}{steps}"


def _when(
    spec: SweepSpec, names: Names, parameter: ParameterSpec, case: CaseSpec, path: str
) -> Iterator[str]:
    """A condition names another parameter, and values that it can have."""
    sound = {other.name: other.parameter for other in spec.parameters}
    for name, values in case.when.items():
        if name not in names or name == parameter.name:
            others = [known for known in names if known and known != parameter.name]
            yield f"{path}.{name}: must be another parameter, but there is only {', '.join(others) or 'none'}"
            continue
        domains = [branch.domain for branch in sound[name].cases] if name in sound else []
        for value in values:
            if domains and not any(contains(domain, value) for domain in domains):
                wanted = " or ".join(map(_described, domains))
                yield f"{path}.{name}: must be {wanted}, but found {shown(value)}"


def _circle(spec: SweepSpec, names: Names) -> Iterator[str]:
    """Conditions must lead somewhere: none of a circle of parameters could be decided first."""
    waits = {parameter.name: parameter.parameter.conditions for parameter in spec.parameters}
    while free := [name for name, conditions in waits.items() if not conditions & waits.keys()]:
        for name in free:
            del waits[name]
    if waits:
        circle = ", ".join(sorted(waits))
        yield f"spec.parameters: cases must not depend on each other in a circle, but found {circle}"


# -- the built-in trainer


def _trainer(spec: SweepSpec, names: Names, ranks: int | None) -> Iterator[str]:
    """The built-in trainer knows every option, and each has an effect somewhere in the sweep."""
    if spec.trial.command is not None:
        if spec.trainer is not None:
            yield (
                "spec.trainer: configures the built-in trainer, but found a command of its own "
                "in spec.trial.podTemplate"
            )
        return
    if not names and not spec.strategy.list:
        return  # what is swept is not known
    fixed, (swept, together) = spec.trainer or {}, _searched(spec, names)
    for sentence in options.check(fixed, swept, ranks=ranks, together=together):
        name, _, words = sentence.partition(": ")
        if name in names:
            yield f"spec.parameters[{names.index(name)}]: {name} {words}"
        elif name in swept:
            yield f"spec.strategy.list: {sentence}"
        else:
            yield f"spec.trainer.{sentence}"


def _ranks(spec: SweepSpec) -> int | None:
    """Processes of one trial; None where what the pod template says of GPUs cannot be read."""
    readable = not any(podtemplate.problems(spec.trial.pod_template, ""))
    return spec.trial.nodes * spec.trial.ranks_per_node if readable else None


def _metrics(spec: SweepSpec, names: Names) -> Iterator[str]:
    """An objective is a metric that the built-in trainer reports on this data."""
    if spec.trial.command is not None:
        return
    swept, together = _searched(spec, names)
    known = options.metrics(spec.trainer or {}, swept, together=together)
    for index, objective in enumerate(spec.objectives):
        if objective.metric not in known:
            wanted = f"must be one of {', '.join(known)}"
            yield f"spec.objectives[{index}].metric: {wanted}, but found {shown(objective.metric)}"


def _searched(spec: SweepSpec, names: Names) -> tuple[dict[str, list[Value]], Together | None]:
    """Values that stand for each parameter, and which of them a configuration can hold together.

    A parameter that could not be read has no values here: it may be anything.
    """
    declared = [parameter.parameter for parameter in spec.parameters]
    if [parameter.name for parameter in declared] != [*dict.fromkeys(names)] or any(_circle(spec, names)):
        known = {parameter.name: combination.values(parameter, declared) for parameter in declared}
        return {name: known.get(name, []) for name in names}, None
    if spec.strategy.list:
        return combination.listed(spec.listed)
    return combination.searched(spec.space)


CHECKS: Mapping[Check, tuple[str, ...]] = {
    _names: (),
    _parameters: (),
    _circle: (),
    searchable.listed: ("strategy",),
    searchable.grid: ("strategy",),
    searchable.stages: ("strategy",),
}
