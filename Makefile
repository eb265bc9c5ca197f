# Everything a developer does; a fresh machine needs python3 (3.11 or newer) and make, nothing else.

PYTHON ?= python3
BASE ?= python:3.12-slim
CONTAINERS ?= docker
REGISTRY ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

BIN := .venv/bin
TOOLS := .venv/.tools
TRAINER := .venv/.trainer
ALL := .venv/.all
UV := UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=.venv $(BIN)/uv pip install

# what another folder holds, or a Python that is not there any more, is not installed
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && cat $(TOOLS)),$(CURDIR))
$(shell rm -f $(TOOLS) $(TRAINER) $(ALL))
endif

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-trainer soak e2e image crd clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(TRAINER)  ## watch a sweep train real models on this machine (minutes)
	$(BIN)/hypersweep run examples/digits.yaml

test: $(ALL)  ## check and test everything, on a real control plane too; the first time builds it
	$(BIN)/python tests/cluster/build.py etcd kube-apiserver kube-controller-manager kube-scheduler kubectl helm promtool
	$(MAKE) check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile  # most of a cluster test is waiting

check: $(ALL)  ## format, lint and types, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(ALL)  ## format the code, fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-trainer  ## print each published figure beside its reference (an hour)
	$(BIN)/python -m benchmarks.local
	$(BIN)/python tests/cluster/build.py
	$(BIN)/python -m benchmarks.cluster

bench-trainer: $(ALL)  ## print the trainer's figures beside their references, each in turn
	$(BIN)/python -m benchmarks.trainer

soak: $(ALL)  ## kill trials thirty times on one, two and three ranks; they must end as if nothing had been
	$(BIN)/python -m tests.trainer.soak

e2e: $(ALL)  ## install the chart into the cluster of KUBECONFIG and run the examples there (HELM_ARGS=…)
	$(BIN)/python -m pytest --timeout 3600 tests/e2e/examples.py

image:  ## build the images of operator and trainer (BASE=…, REGISTRY=host/path/, CONTAINERS=podman)
	$(CONTAINERS) build --build-arg BASE=$(BASE) --target operator -t $(REGISTRY)hypersweep-operator:$(VERSION) .
	$(CONTAINERS) build --build-arg BASE=$(BASE) --target trainer -t $(REGISTRY)hypersweep-trainer:$(VERSION) .

crd: $(ALL)  ## write the CustomResourceDefinition anew, from the manifest's models
	$(BIN)/python -m hypersweep.crd > crds/hypersweep.yaml.new
	cp crds/hypersweep.yaml.new charts/hypersweep/files/hypersweep.yaml
	mv crds/hypersweep.yaml.new crds/hypersweep.yaml

clean:  ## remove the virtual environment and caches; results in runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# Each mark is made last: what was interrupted is made again.

$(TOOLS):
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer must be there, \
	but $(PYTHON) is %d.%d: make PYTHON=..." % v[:2])'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	echo $(CURDIR) > $@

$(TRAINER): pyproject.toml | $(TOOLS)
	$(UV) --editable '.[trainer]'
	touch $@

$(ALL): pyproject.toml | $(TOOLS)
	$(UV) --editable '.[operator,trainer,onnx,dev]'
	touch $(TRAINER) $@
