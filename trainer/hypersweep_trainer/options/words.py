"""Options in words, as messages, the page and the command say them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from hypersweep_trainer.options.option import TASKS, Above, Allowed, AtLeast, Given, Needs, Option, shown
from hypersweep_trainer.options.table import OPTIONS

NOUNS = {
    **dict.fromkeys(("origin", "store", "categories", "numbers", "gaps", "length", "reading"), "data"),
    "architecture": "model",
}
FACTS: Mapping[str, Mapping[Any, str]] = {  # what facts say that no option spells
    "origin": {"file": "from files", "import": "by import path", "synthetic": "that is generated"},
    "reading": {"single": "in files of one image each or by import path"},
    "categories": {"some": "with categories"},
    "numbers": {"some": "with columns of numbers"},
    "gaps": {"some": "with empty cells"},
    "length": {"free": "whose rows can be of any length"},
    "store": {"s3": "from s3://"},
    "weights": {"some": "of pretrained or pretrain"},
    "architecture": {"timm": "timm:NAME", "import": "module:attribute"},
}
SHOWS = {  # what horizons say
    "step": "from the first step on",
    "epoch": "after an epoch or more",
    "evaluation": "in what is measured, not in how it learns",
    "stop": "in how long it trains",
    "speed": "in speed, memory or files; results stay the same but for last digits",
}
BOOLEANS = ("on", "off", "yes", "no", "true", "false")  # words that some readers of YAML take for no words


def either(words: Iterable[str]) -> str:
    """Alternatives as a sentence has them."""
    *others, last = [*words] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def needed(name: str, allowed: Allowed) -> str:
    """One need: `optimizer sgd or muon`, `momentum above 0`, `data from files`."""
    if isinstance(allowed, Above | AtLeast | Given):
        return f"{NOUNS.get(name, name)} {allowed}"
    if name == "residual":
        allowed = ("on",)  # auto is what networks have that are not ours
    if left_out := _left_out(name, allowed):
        return f"{name} other than {left_out}"
    known = FACTS.get(name, {})
    return f"{NOUNS.get(name, name)} {either(known.get(value) or shown(value) for value in allowed)}"


def _left_out(name: str, allowed: Collection[Any]) -> str:
    """The one value of a choice that several allowed ones leave out; nothing where it is not one."""
    option = OPTIONS.get(name)
    others = [value for value in option.values if value not in allowed] if option and len(allowed) > 1 else []
    return str(others[0]) if len(others) == 1 else ""


def all_needed(needs: Needs) -> str:
    return ", ".join(needed(name, allowed) for name, allowed in needs.items())


def rounded(values: Mapping[str, Any]) -> dict[str, str]:
    """What a preset sets, in words of few digits."""
    short = {name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in values.items()}
    return {name: shown(value) for name, value in short.items()}


def brief(option: Option) -> str:
    """The domain in as few characters as a table can spare."""
    match option.kind:
        case "bool":
            return "true, false"
        case "choice":
            return ", ".join(option.values)
        case "text":
            return ", ".join(part for part in (*option.values, option.forms) if part)
        case "int" | "float":
            return ", ".join((f"{shown(option.low)} to {shown(option.high)}", *option.words))
    return option.domain.removeprefix("a ")


def described(option: Option) -> Iterator[tuple[str, str]]:
    """Everything that is known of an option beside its name and meaning, each under its heading."""
    yield "Default", "; ".join([shown(option.default), *_defaults(option)])
    yield "Values", option.domain + (f" ({option.unit})" if option.unit else "")
    if option.tasks != TASKS:
        yield "Tasks", ", ".join(option.tasks)
    if option.needs:
        yield "Needs", all_needed(option.needs)
    if option.value_needs:
        yield "Single values", "; ".join(_value_needs(option))
    if option.hint:
        yield "Hint", option.hint
    yield "First sweep", f"none: {option.unswept}" if option.unswept else parameter(option)
    yield "Shows", SHOWS[option.horizon]
    if option.impact:
        yield "Impact", option.impact
    if option.source:
        yield "Source", option.source


def _defaults(option: Option) -> list[str]:
    return [f"{shown(value)} with {all_needed(needs)}" for needs, value in option.defaults]


def _value_needs(option: Option) -> Iterator[str]:
    """What values need, those together that need the same."""
    alike: dict[str, list[str]] = {}
    for value, needs in option.value_needs.items():
        alike.setdefault(all_needed(needs), []).append(shown(value))
    for words, values in alike.items():
        *others, last = values
        subject = f"{', '.join(others)} and {last} need" if others else f"{last} needs"
        yield f"{subject} {words}"


def parameter(option: Option) -> str:
    """A first range to sweep, as an item of the manifest's parameters."""
    values = option.first_sweep
    if not option.numeric:
        return f"{{name: {option.name}, choice: {_written(values)}}}"
    scale = ", scale: log" if option.log else ""
    ends = f"min: {_written(values[0])}, max: {_written(values[-1])}"
    return f"{{name: {option.name}, {option.kind}: {{{ends}{scale}}}}}"


def _written(value: Any) -> str:
    """A value in YAML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return f'"{value}"' if value in BOOLEANS and isinstance(value, str) else shown(value)
