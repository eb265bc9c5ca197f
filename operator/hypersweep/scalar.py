"""The scalar types of the manifest: numbers, names, durations, values of any kind; and their words."""

import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, GetPydanticSchema, PlainSerializer, WithJsonSchema
from pydantic_core.core_schema import no_info_plain_validator_function

from hypersweep.document import Bare
from hypersweep.space import Value

LARGEST = 2**53  # beyond it a JSON number is no longer exact

SWEEP_NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
PARAMETER_NAME = "^[A-Za-z_][A-Za-z0-9_.-]*$"
DURATION = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
AT = "^(last|best|mean:[1-9][0-9]{0,3})$"
STORE_URL = "^s3://[a-z0-9][a-z0-9.-]+(/[^ ]*)?$"
OBJECT_NAME = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"

QUANTITY = "[0-9]+(\\.[0-9]*)?([eE][0-9]+|[numkMGTPE]|[KMGTPE]i)?"

PATTERNS = {
    SWEEP_NAME: "must be lower-case letters, digits and -, begin with a letter and not end with -",
    PARAMETER_NAME: "must be letters, digits, _, . and -, and begin with a letter or _",
    DURATION: "must be a duration such as 90s, 30m or 1h30m",
    AT: "must be last, best or mean:k",
    STORE_URL: "must be s3://bucket or s3://bucket/prefix",
    OBJECT_NAME: "must be the name of an object: lower-case letters, digits, - and .",
}


def freeze(value: Any) -> Value:
    """A JSON value as the core holds it: lists as tuples, whole numbers as integers.

    The API server makes 1 of 1.0: so do we, or a laptop and a cluster would hold different values.
    """
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST:
        return int(value)
    if isinstance(value, Bare):
        raise ValueError("must be in quotes, true or false: this bare word is a boolean to kubectl")
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("must be a string, number, boolean or list of these")


def duration(value: Any) -> timedelta:
    """A duration of hours, minutes and seconds, longer than nothing."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(DURATION, value) if isinstance(value, str) else None
    hours, minutes, seconds = (
        ((int(part[:-1]) if part else 0) for part in match.groups()) if match else (0, 0, 0)
    )
    if not (hours or minutes or seconds):
        raise ValueError(PATTERNS[DURATION])
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def written(value: timedelta) -> str:
    """A duration as a manifest writes it."""
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def quantity(value: Any) -> int | str:
    """A quantity of a resource, left as it was written."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(QUANTITY, value):
        return value
    raise ValueError("must be a quantity such as 1, 500m or 2Gi")


def whole(value: Any) -> Any:
    """JSON does not tell 3.0 from 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


UNTYPED = {"x-kubernetes-preserve-unknown-fields": True}
OPEN = {"type": "object", **UNTYPED}

Integer = Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST), BeforeValidator(whole)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1), BeforeValidator(whole)]
Whole = Annotated[int, Field(strict=True), BeforeValidator(whole)]  # a field adds its own bounds
Positive = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1), BeforeValidator(whole)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=253)]
Name = Annotated[str, Field(strict=True, pattern=PARAMETER_NAME, max_length=63)]
if TYPE_CHECKING:
    Anything = Value
else:  # pydantic would have to resolve the recursive type anew in every module that uses it
    Anything = Annotated[
        Any,
        GetPydanticSchema(lambda source, handler: no_info_plain_validator_function(freeze)),
        WithJsonSchema(UNTYPED),
    ]
Open = Annotated[dict[str, Any], WithJsonSchema(OPEN)]
Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(written),
    WithJsonSchema({"type": "string", "pattern": DURATION, "minLength": 2, "maxLength": 32}),
]
Quantity = Annotated[
    int | str,
    GetPydanticSchema(lambda source, handler: no_info_plain_validator_function(quantity)),
    WithJsonSchema({"x-kubernetes-int-or-string": True}),
]
