# The whole developer manual: `make help` lists the targets. Needs python3 (3.11 or newer) and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RELEASE ?= hypersweep

help:  ## List the targets
	@sed -nE 's/^([a-z][a-z-]*):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | sort | while IFS=$$'\t' read -r name text; \
	do printf '  make %-15s %s\n' "$$name" "$$text"; done

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"python3 3.11 or newer must be there, but found {v[0]}.{v[1]}" if v < (3, 11) else 0)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.run: pyproject.toml | $(BIN)/uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[trainer]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[operator,trainer,dev]'
	@touch $@ $(VENV)/.run

.PHONY: help demo test check crd controlplane cluster bench bench-cluster e2e image clean

demo: $(VENV)/.run  ## Install, then run an iterative sweep on this machine (about three minutes)
	@$(BIN)/hypersweep run examples/digits.yaml

test: check controlplane  ## Everything: lint, types, units, trainer, a real control plane
	@$(BIN)/python -m pytest

check: $(VENV)/.dev  ## Format, lint and types
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary

controlplane: $(VENV)/.dev  ## Build the Kubernetes control plane of the tests, once, into the user's cache
	@$(BIN)/python -m tests.cluster.build

cluster: controlplane  ## Run the tests' cluster until Ctrl-C, and print its KUBECONFIG
	@$(BIN)/python -m tests.cluster.up

crd: $(VENV)/.dev  ## Generate the CustomResourceDefinition and its copy in the chart from the models
	@$(BIN)/hypersweep crd > crds/hypersweep.yaml
	@cp crds/hypersweep.yaml charts/hypersweep/files/hypersweep.yaml

bench: controlplane  ## The published figures, each beside its reference
	@$(BIN)/python benchmarks/step.py
	@$(BIN)/python benchmarks/local.py
	@$(BIN)/python -m benchmarks.cluster

e2e: $(VENV)/.dev  ## Run the examples against the current KUBECONFIG, with the chart's operator
	@$(BIN)/python -m tests.e2e.examples

image:  ## Build both images with docker
	docker build --target operator --tag $(RELEASE)-operator .
	docker build --target trainer --tag $(RELEASE)-trainer .

clean:  ## Remove the virtual environment and what tools left
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
