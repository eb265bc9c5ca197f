"""The dashboard and the documentation of metrics name what the operator serves, and nothing else."""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from hypersweep.metrics import METRICS, Registry, Series
from hypersweep.runner import Live, Phase
from hypersweep.tally import RESULTS, Histogram, Tally
from hypersweep.trial import Objective
from tests.cluster.build import ensure

ROOT = Path(__file__).parents[1]
DASHBOARD = json.loads((ROOT / "charts" / "hypersweep" / "dashboards" / "sweep.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def filled(query: str) -> str:
    """A query as Grafana sends it for the sweep that `scraped` serves."""
    values = {"$__rate_interval": "1m", "$namespace": "team-a", "$sweep": "digits", "$metric": "val_accuracy"}
    for variable, value in values.items():
        query = query.replace(variable, value)
    return query


def a_running_sweep() -> Series:
    histogram = Histogram()
    histogram.add(3.0)
    tally = Tally(
        finished={result.value: 1 for result in RESULTS},
        restarts={"Preempted": 1},
        duration=histogram,
        queue=histogram,
        gpu_seconds=60.0,
        best=0.97,
        improved=NOW,
    )
    live = Live(4, 0, Phase.RUNNING, NOW, step=7, progress={"val_accuracy": 0.9})
    status = {"phase": "Running", "trials": {"total": 9, "running": 1}}
    objective = Objective("val_accuracy", "maximize")
    return Series("team-a", "digits", "iterative", objective, 3, status, live={live.key: live}, _tally=tally)


@pytest.fixture(scope="module")
def scraped() -> dict[str, list[dict[str, str]]]:
    """The labels of every sample of a scrape, by name."""
    registry = Registry("1.0")
    registry.put(a_running_sweep())
    found: dict[str, list[dict[str, str]]] = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def selectors(expression: Any) -> Iterator[promql.VectorSelector]:
    match expression:
        case promql.VectorSelector():
            yield expression
        case promql.MatrixSelector():
            yield expression.vector_selector
        case promql.BinaryExpr():
            yield from (*selectors(expression.lhs), *selectors(expression.rhs))
        case promql.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from selectors(expression.expr)


def picked(selector: promql.VectorSelector, samples: list[dict[str, str]]) -> list[dict[str, str]]:
    wanted = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
    assert all(matcher.op == promql.MatchOp.Equal for matcher in selector.matchers.matchers)
    return [labels for labels in samples if wanted.items() <= labels.items()]


@pytest.mark.parametrize(("panel", "query"), QUERIES)
def test_every_query_selects_samples_of_a_running_sweep(
    scraped: dict[str, list[dict[str, str]]], panel: str, query: str
) -> None:
    used = list(selectors(promql.parse(filled(query))))

    assert used, panel
    assert [s.name for s in used if not picked(s, scraped.get(s.name, []))] == []


@pytest.mark.parametrize(("panel", "query"), QUERIES)
def test_every_query_asks_for_one_sweep_only(panel: str, query: str) -> None:
    wanted = {"namespace": "$namespace", "sweep": "$sweep"}
    asked = [{m.name: m.value for m in s.matchers.matchers} for s in selectors(promql.parse(bare(query)))]

    assert all(wanted.items() <= labels.items() for labels in asked), panel


def test_prometheus_itself_accepts_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{n}", "expr": bare(query)} for n, (_, query) in enumerate(QUERIES)]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [str(ensure("promtool") / "promtool"), "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def bare(query: str) -> str:
    return query.replace("$__rate_interval", "1m")


def test_every_label_that_a_query_groups_or_names_by_is_one_of_its_metric() -> None:
    used = {
        label
        for panel in PANELS
        for target in panel["targets"]
        for label in (
            *re.findall(r"by \((\w+)\)", target["expr"]),
            *re.findall(r"{{(\w+)}}", target["legendFormat"]),
        )
    }

    assert used <= {label for metric in METRICS.values() for label in metric.labels} | {"le"}


def test_the_variables_ask_for_series_and_labels_that_exist() -> None:
    queries = [variable["query"]["query"] for variable in VARIABLES.values() if variable["type"] == "query"]
    asked = [re.fullmatch(r"label_values\((\w+)(?:{.*})?, (\w+)\)", query) for query in queries]

    assert [match[2] for match in asked if match] == ["namespace", "sweep", "metric"]
    assert all(match[2] in METRICS[match[1]].labels for match in asked if match)


def test_the_dashboard_can_be_provisioned_as_it_is() -> None:
    sources = [panel["datasource"]["uid"] for panel in PANELS]
    sources += [target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]]

    assert "__inputs" not in DASHBOARD
    assert (DASHBOARD["uid"], DASHBOARD.get("id")) == ("hypersweep-sweep", None)
    assert list(VARIABLES) == ["datasource", "namespace", "sweep", "metric"]
    assert set(sources) == {"${datasource}"}


def test_panels_have_descriptions_and_do_not_overlap() -> None:
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert [panel["title"] for panel in PANELS if not panel["description"]] == []
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_documentation_lists_every_metric() -> None:
    document = (ROOT / "docs" / "metrics.md").read_text()
    found = [line for line in document.splitlines() if line.startswith("| `hypersweep_")]

    assert found == [documented(name) for name in METRICS]


def test_the_documented_queries_select_samples_of_a_running_sweep(
    scraped: dict[str, list[dict[str, str]]],
) -> None:
    (block,) = re.findall(r"```promql\n(.*?)```", (ROOT / "docs" / "metrics.md").read_text(), re.DOTALL)
    queries = [query for query in re.split(r"^#.*\n", block, flags=re.MULTILINE) if query.strip()]
    used = [selector for query in queries for selector in selectors(promql.parse(query))]

    assert len(used) >= len(queries) > 0
    assert [s.name for s in used if not picked(s, scraped.get(s.name, []))] == []


def documented(name: str) -> str:
    """The line of a metric in docs/metrics.md."""
    metric = METRICS[name]
    return (
        f"| `{name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.text} |"
    )
