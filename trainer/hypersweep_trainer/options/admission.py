"""What may be asked of the options without running them: is a sweep sound, and what is one configuration?"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice, product
from typing import Any

from hypersweep_trainer.options import facts
from hypersweep_trainer.options.branch import NO_FACTS, Branch, influences
from hypersweep_trainer.options.facts import METRICS, ON_REQUEST
from hypersweep_trainer.options.idle import IDLE, idle
from hypersweep_trainer.options.option import UNKNOWN, Allowed, AtLeast, Needs, shown
from hypersweep_trainer.options.rule import RULES, broken, contradictions
from hypersweep_trainer.options.table import OPTIONS
from hypersweep_trainer.options.words import either, needed

Values = Mapping[str, Any]
Swept = Mapping[str, Sequence[Any]]
Together = Callable[[Collection[str]], Iterable[Values]]
ELSEWHERE: Mapping[str, str] = {  # what other libraries call our options
    **dict.fromkeys(("num_layers", "n_layers", "n_layer"), "depth"),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "units", "filters", "channels"), "width"),
    **dict.fromkeys(("nhead", "num_heads", "n_head"), "heads"), "hidden_layer_sizes": "hidden",
    **dict.fromkeys(("block_size", "seq_len", "max_length"), "context"), "early_stopping": "patience",
    "drop_path_rate": "stochastic_depth", "max_iter": "epochs", "wd": "weight_decay",
}  # fmt: skip
BRANCHES = 1024  # combinations of swept values that one question looks at


@dataclass(frozen=True)
class Sweep:
    """Options that are fixed or swept, all of them accepted by the table."""

    fixed: Values
    swept: Swept
    unread: frozenset[str]  # names whose values are not known: they may be anything
    ranks: int | None
    together: Together
    seen: dict[frozenset[str], list[tuple[Values, Branch]]] = field(default_factory=dict)

    def branches(self, *names: str) -> list[tuple[Values, Branch]]:
        """The combinations of swept values that differ for these options, each with what it comes to."""
        gates = frozenset(gate for name in names for gate in influences(name) if gate in self.swept)
        if gates not in self.seen:
            self.seen[gates] = self._branches(set(gates))
        return self.seen[gates]

    def _branches(self, gates: set[str]) -> list[tuple[Values, Branch]]:
        while len(found := list(islice(self.together(gates), BRANCHES + 1))) > BRANCHES:
            gates.discard(max(sorted(gates), key=lambda gate: len(self.swept[gate])))
        free = dict.fromkeys([*self.unread, *(name for name in self.swept if name not in gates)], UNKNOWN)
        chosen = [{name: OPTIONS[name].accept(value) for name, value in one.items()} for one in found]
        return [(one, Branch({**self.fixed, **free, **one}, self.ranks)) for one in chosen]


def check(
    fixed: Values, swept: Swept, *, ranks: int | None = 1, together: Together | None = None
) -> list[str]:
    """Everything wrong with a sweep's options, one sentence each that begins with the option's name.

    `swept` holds representative values of each parameter: the ends of a range, all values of a choice, none
    where it may be anything. `together` gives the combinations in which the sweep can hold some of its
    parameters, without those that are inactive; all combinations without it. `ranks` may be unknown: None.
    """
    problems = [f"{name}: must be fixed or swept, not both" for name in fixed if name in swept]
    named = {**{name: [value] for name, value in fixed.items()}, **swept}
    problems += [*_unknown(named), *_outside(named), *_automatic(swept), *_lucky(swept)]
    wrong = {_about(problem) for problem in problems}
    sweep = _sound(fixed, swept, wrong, ranks, together)
    for name in named:
        problems += _dead_or_impossible(name, sweep) if name not in wrong else ()
    told = {_about(problem) for problem in problems}
    for rule, reads in RULES.items():
        sentences = [sentence for _, branch in sweep.branches(*reads) for sentence in broken(rule, branch)]
        problems += [sentence for sentence in dict.fromkeys(sentences) if _about(sentence) not in told]
    for rule, reads in IDLE.items():
        sentences = [*idle(rule, (branch for _, branch in sweep.branches(*reads)))]
        problems += [sentence for sentence in sentences if _about(sentence) not in told]
    return problems


def resolve(
    fixed: Values, parameters: Values | None = None, *, ranks: int = 1, known: Values = NO_FACTS
) -> dict[str, Any]:
    """The full configuration: what has an effect, defaults included; raises ValueError with all problems.

    A parameter replaces the fixed option of its name. A given option without effect is left out where it may
    have one in another trial of its sweep, which knows other parameters, or on another number of ranks, which
    is for the place to say; else it is refused. `known` holds facts that the data itself told (see
    `facts.of_data`); until then all that hangs on them has an effect.
    """
    swept = parameters or {}
    given = {**fixed, **swept}
    problems = [*_unknown(given), *_outside({name: [value] for name, value in given.items()})]
    if problems:
        raise ValueError("; ".join(problems))
    given = {name: OPTIONS[name].accept(value) for name, value in given.items()}
    branch = Branch(given, ranks, known)
    anywhere = _anywhere(given, swept, known)
    problems = [_dead(name, [anywhere]) for name in given if not anywhere.has_effect(name)]
    for name in given:
        needs = _value_needs(name, branch)
        if branch.has_effect(name) and not branch.met(needs):
            problems.append(f"{name}: {shown(branch[name])} {_unmet(needs, [branch])}")
    problems += contradictions(branch)
    problems += [sentence for rule in IDLE for sentence in idle(rule, [anywhere])]
    if problems:
        raise ValueError("; ".join(dict.fromkeys(problems)))
    found = {name: branch[name] for name in OPTIONS if branch.has_effect(name)}
    return {name: OPTIONS[name].default if value is UNKNOWN else value for name, value in found.items()}


def _anywhere(given: Values, swept: Values, known: Values) -> Branch:
    """What a configuration comes to in any trial of its sweep, and on any number of ranks."""
    if not swept:
        return Branch(given, None, known)
    held = {name: value for name, value in given.items() if name not in swept}
    told = known if "data" in held and not swept.keys() & set(facts.OF_DATA) else NO_FACTS
    return Branch({**dict.fromkeys(OPTIONS, UNKNOWN), **held}, None, told)


def metrics(fixed: Values, swept: Swept = NO_FACTS, *, together: Together | None = None) -> tuple[str, ...]:
    """The metrics that an objective may name: every run of these options reports them, or can."""
    named = {**{name: [value] for name, value in fixed.items()}, **swept}
    wrong = {_about(problem) for problem in (*_unknown(named), *_outside(named))}
    sweep = _sound(fixed, swept, wrong, None, together)
    targets = dict.fromkeys(branch["target"] for _, branch in sweep.branches("target"))
    reported = [
        [name for kind in (METRICS if target is UNKNOWN else (target,)) for name in _reported(kind)]
        for target in targets
    ]
    return tuple(dict.fromkeys(name for name in reported[0] if all(name in names for names in reported)))


def _reported(target: str) -> tuple[str, ...]:
    return (*METRICS[target], *ON_REQUEST.get(target, ()))


def _sound(
    fixed: Values, swept: Swept, wrong: Collection[str], ranks: int | None, together: Together | None
) -> Sweep:
    """The sweep without what the table refuses; what is refused may be anything for all others."""
    held = {name: OPTIONS[name].accept(value) for name, value in fixed.items() if name not in wrong}
    varied = {name: values for name, values in swept.items() if name not in wrong and values}
    unread = {name for name in (*fixed, *swept) if name in OPTIONS} - held.keys() - varied.keys()
    return Sweep(held, varied, frozenset(unread), ranks, together or _all_of(varied))


def _all_of(swept: Swept) -> Together:
    """Every combination of all values."""

    def together(names: Collection[str]) -> Iterator[Values]:
        chosen = [name for name in swept if name in names]
        for values in product(*(swept[name] for name in chosen)):
            yield dict(zip(chosen, values, strict=True))

    return together


# -- problems


def _unknown(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name not in OPTIONS:
            meant = either(near(name))
            hint = f"; did you mean {meant}?" if meant else ""
            yield f"{name}: is not an option of the built-in trainer{hint}"


def near(name: str) -> list[str]:
    """The options that may be meant by a name that is none: spelt alike, or so in words."""
    if name.lower() in ELSEWHERE:
        return [ELSEWHERE[name.lower()]]
    words = name.replace("_", " ").lower()
    meanings = {known: option.meaning.lower() for known, option in OPTIONS.items()}
    begun = [known for known, meaning in meanings.items() if meaning.startswith(words)]
    meant = [*get_close_matches(name.lower(), OPTIONS, 2), *begun]
    return list(dict.fromkeys(meant or [known for known in meanings if words in meanings[known]]))[:3]


def _outside(named: Swept) -> Iterator[str]:
    for name, values in named.items():
        for value in values if name in OPTIONS else ():
            try:
                OPTIONS[name].accept(value)
            except ValueError as error:
                yield f"{name}: {error}"


def _automatic(swept: Swept) -> Iterator[str]:
    """What is found once for a configuration cannot be one of the values that make configurations."""
    for name, values in swept.items():
        if name in OPTIONS and OPTIONS[name].numeric and "auto" in values:
            yield f"{name}: auto must be fixed, not swept"


def _lucky(swept: Swept) -> Iterator[str]:
    """The best of several folds would be the one with the easiest rows."""
    if "fold" in swept:
        yield "fold: must not be swept: leave it out and set `seeds` to the number of folds"


def _about(problem: str) -> str:
    return problem.partition(":")[0]


def _dead_or_impossible(name: str, sweep: Sweep) -> Iterator[str]:
    """Whether an option has an effect anywhere, and can have each of its values wherever it has."""
    branches = [
        (chosen, branch)
        for chosen, branch in sweep.branches(name)
        if name in sweep.fixed or name in chosen or branch[name] is UNKNOWN
    ]
    alive = [(chosen, branch) for chosen, branch in branches if branch.has_effect(name)]
    if branches and not alive:
        yield _dead(name, [branch for _, branch in branches])
    told = set()
    for chosen, branch in alive:
        needs = _value_needs(name, branch)
        if not branch.met(needs) and branch[name] not in told:
            told.add(branch[name])
            others = [(key, value) for key, value in chosen.items() if key != name]
            beside = ", ".join(f"{key}={shown(value)}" for key, value in others)
            yield f"{name}: {shown(branch[name])} {_unmet(needs, [branch])}" + (beside and f" with {beside}")


def _value_needs(name: str, branch: Branch) -> Needs:
    value = branch[name]
    return OPTIONS[name].value_needs.get(value, {}) if isinstance(value, str) else {}


def _dead(name: str, branches: Sequence[Branch]) -> str:
    return f"{name}: {_unmet(OPTIONS[name].conditions, branches)}, so it would have no effect"


def _unmet(needs: Needs, branches: Sequence[Branch]) -> str:
    """The first need that no branch meets, in words."""
    for name, allowed in needs.items():
        if not any(branch.met({name: allowed}) for branch in branches):
            return f"needs {needed(name, allowed)}, but found {_found(name, allowed, branches)}"
    return "needs what is never found together: " + ", ".join(needed(name, needs[name]) for name in needs)


def _found(name: str, allowed: Allowed, branches: Sequence[Branch]) -> str:
    """What stands where a need is not met; of two numbers those that come nearest to it."""
    if isinstance(allowed, AtLeast):
        pairs = [(branch[name], branch[allowed.option]) for branch in branches]
        value, other = max(pairs, key=lambda pair: pair[0] - pair[1])
        return f"{shown(value)} with {allowed.option}={shown(other)}"
    return either(dict.fromkeys(_stands(name, branch) for branch in branches))


def _stands(name: str, branch: Branch) -> str:
    """An option's value, or that of the option that a fact comes from."""
    match name:
        case "categories" | "numbers" | "gaps":
            return f"none in {branch['data']}"
        case "length":
            return f"rows of one length in {branch['data']}"
        case "origin" | "store" | "reading":
            return shown(branch["data"])
        case "architecture":
            return shown(branch["model"])
    return shown(branch.effective(name))
