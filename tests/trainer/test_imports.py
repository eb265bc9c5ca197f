"""The trainer stands on its own: of the operator's package it imports the contract and the store alone."""

import ast
from pathlib import Path

import pytest

import hypersweep_trainer

MODULES = sorted(Path(hypersweep_trainer.__path__[0]).rglob("*.py"))


def imports(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "hypersweep"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_trainer_imports_of_the_operator_contract_and_store_alone(module: Path) -> None:
    allowed = ("hypersweep.contract", "hypersweep.store")

    assert not [name for name in imports(module) if not name.startswith(allowed)]
