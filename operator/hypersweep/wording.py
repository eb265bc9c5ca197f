"""Says what pydantic found wrong in the manifest's own words: field, what must hold, what was found."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hypersweep.rule import Model, shown
from hypersweep.scalar import PATTERNS

Context = Mapping[str, Any]
MUST: dict[str, Callable[[Context], str]] = {
    "greater_than": lambda c: f"must be above {c['gt']:g}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "less_than": lambda c: f"must be below {c['lt']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "finite_number": lambda c: "must be finite",
    "int_type": lambda c: "must be a whole number",
    "int_from_float": lambda c: "must be a whole number",
    "float_type": lambda c: "must be a number",
    "bool_type": lambda c: "must be true or false",
    "string_type": lambda c: "must be a string",
    "string_too_short": lambda c: "must not be empty",
    "string_too_long": lambda c: f"must be at most {c['max_length']} characters long",
    "string_pattern_mismatch": lambda c: PATTERNS.get(c["pattern"], f"must match {c['pattern']}"),
    "literal_error": lambda c: f"must be one of {c['expected']}".replace("'", "").replace(" or ", ", "),
    "tuple_type": lambda c: "must be a list",
    "dict_type": lambda c: "must be an object",
    "model_type": lambda c: "must be an object",
    "model_attributes_type": lambda c: "must be an object",
    "too_short": lambda c: f"must hold at least {c['min_length']}",
    "too_long": lambda c: f"must hold at most {c['max_length']}",
    "value_error": lambda c: str(c["error"]),
}


def problems(error: ValidationError, path: str, kind: Any) -> Iterator[str]:
    """One sentence per error of a value at `path` that was to be of a kind."""
    for details in error.errors(include_url=False):
        yield f"{path}{below(details['loc'])}: {_sentence(details, kind)}"


def below(location: Sequence[int | str]) -> str:
    """A location as people write it; keys of an object are blamed by themselves."""
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in location if step != "[key]"
    )


def _sentence(details: ErrorDetails, kind: Any) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "missing":
            return "must be given"
        case "extra_forbidden":
            *parents, name = details["loc"]
            return unknown(str(name), names(_model(kind, parents)))
        case "too_short" | "too_long" as length:
            return f"{MUST[length](context)}, but found {context['actual_length']}"
    known = MUST.get(details["type"])
    must = known(context) if known else details["msg"]
    return f"{must}, but found {shown(details['input'])}"


def unknown(name: str, known: Collection[str]) -> str:
    """That there is no such field, and which one may be meant."""
    close = get_close_matches(name, known, n=1) or [k for k in known if k.lower() == name.lower()]
    if close:
        return f"no such field; did you mean {close[0]}?"
    return f"no such field; known: {', '.join(known) or 'none'}"


def names(model: type[BaseModel]) -> list[str]:
    """The fields of a model as the manifest names them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model(kind: Any, location: Sequence[int | str]) -> type[BaseModel]:
    """The model that a location within a kind is of."""
    model = _first_model(kind)
    for step in location:
        if isinstance(step, str) and model is not None:
            fields = (field for name, field in model.model_fields.items() if step in (name, field.alias))
            field = next(fields, None)
            model = _first_model(field.annotation) if field is not None else model
    return model or Model


def _first_model(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next(filter(None, map(_first_model, get_args(kind))), None)
