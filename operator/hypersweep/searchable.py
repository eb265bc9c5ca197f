"""Whether a strategy can search what the parameters offer: names, axes of a grid, stages."""

from collections.abc import Iterator, Sequence

from hypersweep import unsupported
from hypersweep.parameterspec import ParameterSpec
from hypersweep.rule import shown
from hypersweep.searchspec import Grid, Stage
from hypersweep.space import Choice, Domain, contains, size
from hypersweep.sweepspec import SweepSpec

ALL_VALUES = 10  # a stepped range with more values than this needs `points`
NEEDS_POINTS = "a grid over a float without step needs points, or perDecade of a log scale"
DECLARED = "must be a declared parameter"


def listed(spec: SweepSpec, names: Sequence[str]) -> Iterator[str]:
    """The configurations of a list give declared parameters values that they may have."""
    sound = {parameter.name: parameter.parameter for parameter in spec.parameters}
    for index, entry in enumerate(spec.strategy.list or ()):
        for name, value in entry.items():
            path = f"spec.strategy.list[{index}].{name}"
            if names and name not in names:
                yield f"{path}: must be one of the parameters {', '.join(names)}, or none must be declared"
            elif name in sound and not any(contains(case.domain, value) for case in sound[name].cases):
                yield f"{path}: must be a value of the parameter {name}, but found {shown(value)}"


def grid(spec: SweepSpec, names: Sequence[str]) -> Iterator[str]:
    if spec.strategy.grid is not None:
        yield from _axes(spec, names, spec.strategy.grid, None)


def _axes(spec: SweepSpec, names: Sequence[str], grid: Grid, only: Sequence[str] | None) -> Iterator[str]:
    """Every axis of a grid has values to step through."""
    for parameter in spec.parameters:
        if only is not None and parameter.name not in only:
            continue
        path = f"spec.parameters[{names.index(parameter.name)}]"
        for below, domain in _domains(parameter):
            if sentence := _axis(domain, grid):
                yield f"{path}{below}: {sentence}"


def _domains(parameter: ParameterSpec) -> Iterator[tuple[str, Domain]]:
    """Each range of a parameter and where it stands."""
    branches = [("", parameter)] if parameter.cases is None else list(enumerate(parameter.cases))
    for number, branch in branches:
        kind = "float" if branch.float_ else "int" if branch.int_ else "choice"
        yield f".{kind}" if number == "" else f".cases[{number}].{kind}", branch.domain


def _axis(domain: Domain, grid: Grid) -> str:
    """Why a grid cannot step through a range; empty when it can."""
    if isinstance(domain, Choice) or grid.points is not None:
        return ""
    if grid.per_decade is not None and domain.scale == "log":
        return ""
    count = size(domain)
    if count is None:
        found = "neither" if grid.per_decade is None else "perDecade on a linear scale"
        return f"{NEEDS_POINTS}, but found {found}"
    if count > ALL_VALUES:
        return f"a grid over more than {ALL_VALUES} values needs points, but found {count} values"
    return ""


def stages(spec: SweepSpec, names: Sequence[str]) -> Iterator[str]:
    """Stages name declared parameters, each once, and know how to search them."""
    iterative = spec.strategy.iterative
    for index, stage in enumerate(iterative.stages if iterative else ()):
        path = f"spec.strategy.iterative.stages[{index}]"
        yield from _stage_names(stage, names, path)
        search = stage.search
        if search is None and len(stage.parameters) > 1:
            yield (
                f"{path}.search: several parameters without search mean sobol: {unsupported.WORDS}; "
                "name grid or random"
            )
        if search is not None and search.grid is not None:
            yield from _axes(spec, names, search.grid, stage.parameters)
        yield from _narrowed(spec, stage, path)


def _stage_names(stage: Stage, names: Sequence[str], path: str) -> Iterator[str]:
    for field, given in (("parameters", stage.parameters), ("retune", stage.retune)):
        for index, name in enumerate(given):
            if name not in names:
                known = ", ".join(filter(None, names)) or "none"
                yield f"{path}.{field}[{index}]: {DECLARED}, but found {name}; declared: {known}"
            elif name in given[:index]:
                yield f"{path}.{field}[{index}]: each name must stand once, but found {name} again"


def _narrowed(spec: SweepSpec, stage: Stage, path: str) -> Iterator[str]:
    chosen = [p for p in spec.parameters if p.name in stage.parameters]
    if stage.narrow is None or not chosen:
        return
    if all(isinstance(domain, Choice) for parameter in chosen for _, domain in _domains(parameter)):
        yield f"{path}.narrow: needs a range, but found only choices"
