"""Turns pydantic's JSON schema of the manifest into the structural one that Kubernetes asks for."""

from collections.abc import Mapping
from typing import Any

from hypersweep.rule import Model, Rule
from hypersweep.scalar import OPEN, PATTERNS, UNTYPED

Schema = dict[str, Any]

KEPT = (
    "type",
    "description",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
)


class Converter:
    """A structural schema has no references, no nulls and no unions, and carries each model's rules."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self.definitions = definitions
        self.models = {model.__name__: model for model in Model.__subclasses__()}

    def object(self, model: type[Model], given: Schema) -> Schema:
        """A model's schema with its rules."""
        converted = self.plain(given)
        if one_of := [rule.one_of for rule in model.RULES if rule.one_of]:
            converted["oneOf"] = [{"required": [name]} for name in one_of[0]]
        if rules := [_validation(rule) for rule in model.RULES if rule.cel]:
            converted["x-kubernetes-validations"] = rules
        return converted

    def any(self, given: Schema) -> Schema:
        if variants := given.get("anyOf"):
            typed = [variant for variant in variants if variant.get("type") != "null"]
            assert len(typed) == 1, f"a structural schema has no unions: {given}"
            return self.any(typed[0] | {k: v for k, v in given.items() if k == "description"})
        if "$ref" in given:
            name = given["$ref"].rsplit("/", 1)[1]
            description = {k: v for k, v in given.items() if k == "description"}
            return self.object(self.models[name], self.definitions[name] | description)
        return self.plain(given)

    def plain(self, given: Schema) -> Schema:
        converted = {key: given[key] for key in KEPT if key in given}
        converted |= {key: value for key, value in given.items() if key.startswith("x-kubernetes")}
        for key, bound, stricter in (("ge", "minimum", max), ("le", "maximum", min)):
            if key in given:  # pydantic's own word for a bound beyond a validator
                converted[bound] = stricter(given[key], converted.get(bound, given[key]))
        if (limit := given.get("exclusiveMinimum")) is not None:
            converted |= {"minimum": limit, "exclusiveMinimum": True}
        if (limit := given.get("maximum")) is not None and given.get("type") == "integer":
            converted |= {"format": "int64"}
        if pattern := given.get("pattern"):
            converted["x-kubernetes-validations"] = [
                {"rule": f"self.matches('{pattern}')", "message": PATTERNS[pattern]}
            ]
        if "items" in given:
            converted["items"] = self.any(given["items"])
        if "properties" in given:
            converted["properties"] = {name: self.any(field) for name, field in given["properties"].items()}
        # a structural schema cannot restrict keys: their pattern is left to the operator
        values = next(iter(given.get("patternProperties", {}).values()), given.get("additionalProperties"))
        if isinstance(values, dict):
            values = self.any(values)
            # values of any kind: CEL sees an object that keeps what it does not know, but not a map of these
            converted |= OPEN if values == UNTYPED else {"additionalProperties": values}
        if "x-kubernetes-int-or-string" in converted:
            converted.pop("type", None)
        return converted


def _validation(rule: Rule) -> Schema:
    validation = {"rule": rule.cel, "message": rule.words}
    return validation | ({"fieldPath": rule.at} if rule.at else {})
