"""What one configuration comes to: each option's value, the facts that follow, whether needs are met."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hypersweep_trainer.options import facts
from hypersweep_trainer.options.option import UNKNOWN, Allowed, AtLeast, Needs, Option
from hypersweep_trainer.options.preset import PRESETS
from hypersweep_trainer.options.table import OPTIONS

NO_FACTS: Mapping[str, Any] = {}


class Branch:
    """Options and facts of one configuration; each is worked out when it is asked for.

    A given value may be UNKNOWN: then it, and what follows from it, may be anything.
    """

    def __init__(
        self, given: Mapping[str, Any], ranks: int | None = 1, known: Mapping[str, Any] = NO_FACTS
    ) -> None:
        self._given = given
        self._found: dict[str, Any] = {"ranks": UNKNOWN if ranks is None else ranks, **known}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            self._found[name] = self._fact(name) if name in facts.READS else self._chosen(name)
        return self._found[name]

    def has_effect(self, name: str, *, surely: bool = False) -> bool:
        return self.met(OPTIONS[name].conditions, surely=surely)

    def effective(self, name: str) -> Any:
        """A fact, or what an option counts as: its default where it has no effect."""
        return self[name] if _is_fact(name) or self.has_effect(name) else OPTIONS[name].default

    def met(self, needs: Needs, *, surely: bool = False) -> bool:
        """Whether all needs hold; what is unknown meets every need, unless one must be met `surely`."""
        return all(self._meets(name, allowed, surely) for name, allowed in needs.items())

    def _meets(self, name: str, allowed: Allowed, surely: bool) -> bool:
        if isinstance(allowed, AtLeast):
            return self._reaches(name, allowed, surely)
        value = self.effective(name)
        if value is UNKNOWN:
            return not surely
        doubtful = surely and not _is_fact(name) and not self.has_effect(name, surely=True)
        return value in allowed and (not doubtful or OPTIONS[name].default in allowed)

    def _reaches(self, name: str, allowed: AtLeast, surely: bool) -> bool:
        other, value = self[allowed.option], self.effective(name)
        if UNKNOWN in (other, value):
            return not surely
        off = other == 0 == OPTIONS[allowed.option].default
        return bool(off or value >= other + allowed.more)

    def _chosen(self, name: str) -> Any:
        """An option's value before `auto` is replaced."""
        return self._given[name] if name in self._given else self.usual(name)

    def usual(self, name: str) -> Any:
        """What an option is when nobody sets it."""
        option = OPTIONS[name]
        preset = self._chosen("preset") if name != "preset" else "none"
        if preset is UNKNOWN and any(name in recipe for recipe in PRESETS.values()):
            return UNKNOWN
        recipe = PRESETS.get(preset, {})
        if name in recipe and self._fits(preset, option, recipe[name]):
            return recipe[name]
        for needs, value in option.defaults:
            if self.met(needs, surely=True):
                return value
            if self.met(needs):
                return UNKNOWN
        return option.default

    def _fits(self, preset: str, option: Option, value: Any) -> bool:
        """Whether a preset's value can be: both the preset and the value may have needs."""
        needs = OPTIONS["preset"].value_needs.get(preset, {})
        return self.met(needs) and self.met(option.value_needs.get(value, {}))

    def _fact(self, name: str) -> Any:
        match name:
            case "architecture":
                return facts.architecture(self["model"])
            case "weights":
                return facts.weights(self.effective("pretrained"), self.effective("pretrain"))
            case "residual":
                kind, hidden, depth = self["architecture"], self["hidden"], self["depth"]
                return facts.residual(self._chosen(name), kind, hidden, depth)
        return facts.of_data({option: self._chosen(option) for option in facts.OF_DATA})[name]


def _is_fact(name: str) -> bool:
    return name not in OPTIONS or name in facts.DERIVED


@cache
def influences(name: str) -> frozenset[str]:
    """Everything on which an option's value or effect depends, itself included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += _reads(one) if one != "preset" or name == "preset" else ()
    return frozenset(found)


def _reads(name: str) -> Iterator[str]:
    """The options and facts that an option or fact is worked out from."""
    yield from facts.READS.get(name, ())
    if name in OPTIONS:
        option = OPTIONS[name]
        defaults = [needs for needs, _ in option.defaults]
        for needs in (option.conditions, *option.value_needs.values(), *defaults):
            yield from needs
            yield from (allowed.option for allowed in needs.values() if isinstance(allowed, AtLeast))
        yield "preset"
