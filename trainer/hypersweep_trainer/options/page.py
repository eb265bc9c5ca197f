"""The page of all options: `python -m hypersweep_trainer.options.page > docs/hyperparameters.md`."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from hypersweep_trainer.options.catalogue import BEYOND, CHECKS, ROWS, STRATEGIES, Row
from hypersweep_trainer.options.facts import METRICS, ON_REQUEST
from hypersweep_trainer.options.option import Option, shown
from hypersweep_trainer.options.preset import PRESETS
from hypersweep_trainer.options.table import GROUPS, OPTIONS
from hypersweep_trainer.options.words import described, rounded

INTRODUCTION = """\
# Hyperparameters

Every option of the built-in trainer. The same table validates manifests, so what stands here holds.
`hypersweep hyperparameters` prints it in a terminal, `hypersweep hyperparameters NAME` one option in full.

```yaml
spec:
  trainer: {data: digits, model: cnn, epochs: 30}   # the same in every trial
  parameters:                                       # what the sweep varies
    - {name: lr, float: {min: 1e-4, max: 1e-1, scale: log}}
```

- An option **without effect** on the chosen data, task or model is refused with the reason, and so are
  values that cannot be together. What only files can tell (whether a table has categories) is settled
  when they are read. In a sweep an option needs an effect in one branch; in the others it is left out.
- A **default** may depend on other options; a [preset](#presets) changes defaults. What you set wins.
- **Values** say what can be, **first sweep** where to begin, as an item of `parameters`, or why there is
  nothing to sweep.
- **Impact** says what is usually worth trying first; of many options there is no such opinion.
- **Shows** stands where a change does not show from the first step on.
- On several GPUs `batch_size` counts the rows of all ranks together.
- `data` and `model` may be [your own code](own-code.md), as `module:attribute`.
"""
SHORT = ("Impact", "Shows", "Source")  # facts that share a line
MEASURED = """\
Of each epoch: `train_` on the training rows as they were learned from, `val_` on the validation rows, and in
a sweep's final stage `test_` on the test rows.
"""
CATALOGUE = """\
What people tune, and where it is found here: options, checks or strategies, a source, and the tests that
hold it. Run them with `make test`, or `python -m pytest tests/FILE::TEST`.
"""


def text() -> str:
    parts = [_contents(), *map(_group, _groups()), _presets(), _metrics(), _checks(), _catalogue()]
    return "\n".join([INTRODUCTION, *parts])


def _groups() -> list[tuple[str, str, list[Option]]]:
    """Name, meaning and options of each group."""
    found = groupby(OPTIONS.values(), lambda option: option.group)
    meanings = [(group.__doc__ or "").partition(". ")[2] for group in GROUPS]
    return [(name, words, [*options]) for (name, options), words in zip(found, meanings, strict=True)]


def _contents() -> str:
    headings = [*(name for name, _, _ in _groups()), "Presets", "Metrics", "Checks", "Catalogue"]
    return " · ".join(f"[{name}](#{name.lower().replace(' ', '-')})" for name in headings) + "\n"


def _group(group: tuple[str, str, list[Option]]) -> str:
    name, meaning, options = group
    return f"## {name}\n\n{meaning}\n\n{_table(('Option', 'Default', 'About'), map(_option, options))}"


def _option(option: Option) -> Iterator[str]:
    facts = dict(described(option))
    yield f'<a name="option-{option.name}"></a>`{option.name}`'
    yield f"`{shown(option.default)}`"
    lines = [_linked(option.meaning)]
    if option.hint:
        lines.append(f"*{_linked(facts.pop('Hint'))}*")
    facts = {name: words for name, words in facts.items() if name not in _plain(option)}
    for heading in [name for name in facts if name not in SHORT]:
        words = facts[heading]
        lines.append(f"**{heading}** " + (f"`{words}`" if words[0] == "{" else _linked(words)))
    lines.append(" · ".join(f"**{name}** {_linked(facts[name])}" for name in SHORT if name in facts))
    yield "<br>".join(filter(None, lines))


def _plain(option: Option) -> Iterator[str]:
    """Facts that say no more than the other columns and the introduction."""
    if not option.defaults:
        yield "Default"
    if option.horizon == "step":
        yield "Shows"


def _linked(words: str) -> str:
    """Text of a table, papers linked."""
    words = words.replace("|", "\\|")
    return re.sub(r"\b\d{4}\.\d{4,5}\b", lambda m: f"[{m[0]}](https://arxiv.org/abs/{m[0]})", words)


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _presets() -> str:
    rows = [(f"`{name}`", _set(values)) for name, values in PRESETS.items() if values]
    return f"## Presets\n\n`preset: NAME` sets, wherever you do not:\n\n{_table(('Preset', 'Sets'), rows)}"


def _set(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{_link(name)} {value}" for name, value in rounded(values).items())


def _link(name: str) -> str:
    return f"[`{name}`](#option-{name})" if name in OPTIONS else f"`{name}`"


def _metrics() -> str:
    rows = [
        (target, ", ".join(map(_code, names)), ", ".join(map(_code, ON_REQUEST.get(target, ()))))
        for target, names in METRICS.items()
    ]
    head = ("Target", "Always reported", "Where an objective or `metrics` names them")
    return f"## Metrics\n\n{MEASURED}\n{_table(head, rows)}"


def _checks() -> str:
    rows = [(_code(name), words) for name, words in CHECKS.items()]
    introduction = "What a run tells of itself; `checks` says what happens when one fails."
    return f"## Checks\n\n{introduction}\n\n{_table(('Check', 'What must hold'), rows)}"


def _code(name: str) -> str:
    return f"`{name}`"


def _catalogue() -> str:
    table = _table(("#", "Topic", "Options, checks, strategies", "Source", "Tests"), map(_row, ROWS))
    strategies = _table(("Strategy", "What it runs"), ((_code(n), words) for n, words in STRATEGIES.items()))
    beyond = "".join(f"- {why}: {', '.join(map(_link, names))}\n" for why, names in BEYOND.items())
    return f"""\
## Catalogue

{CATALOGUE}
{table}
Strategies ([more](strategies.md)):

{strategies}
Beyond these rows:

{beyond}"""


def _row(row: Row) -> Iterator[str]:
    yield str(row.number)
    yield row.topic
    yield ", ".join(map(_link, row.options))
    yield _linked(row.source)
    yield "<br>".join(_tests(row))


def _tests(row: Row) -> Iterator[str]:
    """The tests of a row, file by file."""
    for file, tests in groupby(sorted(row.tests), lambda test: test.partition("::")[0]):
        names = ", ".join(_linked(test.partition("::")[2].removeprefix("test_")) for test in tests)
        yield f"[{file}](../tests/{file}): {names}"


if __name__ == "__main__":
    sys.stdout.write(text())
