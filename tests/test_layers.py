"""What may import what: the core decides without touching the world, and the two worlds do not meet."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"hypersweep": ROOT / "operator", "hypersweep_trainer": ROOT / "trainer"}

CORE = ("plan", "status", "job", "journal", "runner", "api", "strategy")  # and all that these import
WORLD = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "pathlib", "queue", "secrets",
    "selectors", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid", "boto3", "kopf", "kubernetes", "numpy", "prometheus_client", "rich", "torch",
}  # fmt: skip
CLUSTER = ("kube", "cluster", "watch", "lease", "handlers")
LOCAL = ("local", "process", "pool", "guard", "worker", "run", "cli")


@cache
def sources() -> Mapping[str, ast.Module]:
    """Every module of both packages, by its name."""
    return {
        _name(file, root): ast.parse(file.read_text())
        for package, root in PACKAGES.items()
        for file in sorted((root / package).rglob("*.py"))
    }


def _name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The modules that some statements import; of a name imported from a package, the module that it is."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"relative: {ast.unparse(node)}"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & sources().keys() or {node.module}


def graph(package: str) -> dict[str, set[str]]:
    """What each module of a package imports when it is loaded; not what a function imports later."""
    return {name: set(imports(source.body)) for name, source in sources().items() if _in(name, package)}


def _in(name: str, package: str) -> bool:
    return name.split(".")[0] == package


def reached(*modules: str) -> set[str]:
    """These modules of the operator's package, and all modules of it that they import."""
    edges, found = graph("hypersweep"), {f"hypersweep.{name}" for name in modules}
    waiting = list(found)
    while waiting:
        new = {name for name in edges[waiting.pop()] if name in edges} - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_needs_itself(package: str) -> None:
    order = TopologicalSorter(graph(package)).static_order()

    assert list(order)


def test_the_core_touches_nothing_of_the_world() -> None:
    edges = graph("hypersweep")
    touched = {
        name: found
        for name in reached(*CORE)
        if (found := {imported for imported in edges[name] if imported.split(".")[0] in WORLD})
    }

    assert {} == touched


def test_the_core_reads_no_clock_and_draws_nothing_global() -> None:
    calls = {
        f"{name}: {ast.unparse(node)}"
        for name in reached(*CORE)
        for node in ast.walk(sources()[name])
        if (isinstance(node, ast.Attribute) and node.attr in ("now", "today", "utcnow"))
        or (isinstance(node, ast.Import) and any(alias.name == "random" for alias in node.names))
    }

    assert set() == calls


def test_reconcile_knows_the_ports_and_none_of_their_implementations() -> None:
    found = {name for name in graph("hypersweep")["hypersweep.reconcile"] if _in(name, "hypersweep")}

    assert found <= reached(*CORE) | {"hypersweep.store"}


def test_the_operator_knows_nothing_of_local_runs() -> None:
    assert set() == reached(*CLUSTER) & {f"hypersweep.{name}" for name in LOCAL}


def test_local_runs_know_nothing_of_clusters() -> None:
    assert set() == reached(*LOCAL) & {f"hypersweep.{name}" for name in CLUSTER}


def test_the_trainer_knows_of_the_operator_only_contract_and_store() -> None:
    found = _across("hypersweep_trainer", "hypersweep")

    assert found <= {"hypersweep.contract", "hypersweep.store"}


def test_the_operator_knows_of_the_trainer_only_its_options() -> None:
    assert _across("hypersweep", "hypersweep_trainer") <= {"hypersweep_trainer.options"}


def _across(package: str, other: str) -> set[str]:
    """What modules of one package import of another, wherever the statement stands."""
    trees = [source for name, source in sources().items() if _in(name, package)]
    return {name for tree in trees for name in imports(ast.walk(tree)) if _in(name, other)}


HEAVY = ("torch", "sklearn", "boto3", "kubernetes", "kopf", "prometheus_client")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("hypersweep.cli", HEAVY),
        ("hypersweep.worker", (*HEAVY, "pydantic", "rich")),
        ("hypersweep.handlers", ("torch", "sklearn", "rich")),
        ("hypersweep_trainer", ("kubernetes", "kopf", "pydantic")),
        ("hypersweep_trainer.trial", ("torch", "boto3", "kubernetes", "kopf", "pydantic")),
        ("hypersweep_trainer.train", ("boto3", "kubernetes", "kopf", "pydantic", "yaml")),
    ],
)
def test_a_module_loads_only_what_it_uses(module: str, absent: tuple[str, ...]) -> None:
    loads = f"import {module}, sys; print(*(name for name in {absent} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True).stdout

    assert "" == loaded.strip()
