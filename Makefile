# podpin: everything that a developer types. `make help` lists it.
#
# Each target sets up what it needs: a virtual environment in .venv, and for the cluster what tests/cluster/README.md says.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
CRD := crds/imagerollouts.podpin.dev.yaml
# Helm reads no file from outside of a chart.
CHART_CRD := charts/podpin/files/imagerollouts.podpin.dev.yaml
# CLUSTER=local (the default) | kind | current: which Kubernetes the tests and the demo use.
export CLUSTER ?= local

.DEFAULT_GOAL := help
.PHONY: help setup fmt check test test-unit test-cluster binaries demo bench fuzz simulate crds diagram run image \
        cluster-up cluster-down cluster-shell clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

setup: $(READY) ## the virtual environment with podpin and its tools

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "podpin needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up $(VENV): about a minute the first time"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: install your system's python3-venv package" >&2; exit 1; }
	@$(RUN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@

fmt: $(READY) ## format the code and sort its imports
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix-only --quiet .

check: $(READY) ## formatting, lint, types, layers, and that what is generated is current
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	@$(RUN)/python -m podpin.crd | diff -u $(CRD) - || { echo "$(CRD) is not what the models say: run make crds" >&2; exit 1; }
	@cmp $(CRD) $(CHART_CRD) || { echo "$(CHART_CRD) is not $(CRD): run make crds" >&2; exit 1; }
	@$(RUN)/python -m podpin.diagram | diff -u docs/states.md - || { echo "docs/states.md is not what the table says: run make diagram" >&2; exit 1; }

test: test-unit test-cluster ## all tests, from nothing

test-unit: $(READY) ## the tests that need no cluster
	$(RUN)/pytest -m "not cluster"

test-cluster: binaries ## the tests on a real cluster
	@# Two cores under a whole cluster can be late for a deadline: what fails is tried once more, alone, and must pass then.
	$(RUN)/pytest -m cluster || \
	  { echo "once more, only what has failed:"; $(RUN)/pytest -m cluster --last-failed --last-failed-no-failures none; }

binaries: $(READY)
	@[ "$(CLUSTER)" != local ] || { $(RUN)/python -m tests.cluster build --kwok && $(RUN)/python -m tests.registry.servers && \
	  $(RUN)/python -m tests.charts.programs; }

bench: $(READY) ## what podpin costs and how fast it is, beside its budgets and peers (ARGS="--only latency --json FILE")
	$(RUN)/python -m tests.bench $(ARGS)

fuzz: $(READY) ## what strangers write and podpin reads, fuzzed (SECONDS=60 for each target)
	@$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --group fuzz
	$(RUN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

simulate: $(READY) ## podpin in a cluster made of paper, in other weather each time (STEPS=1000000 ARGS="--seed 7")
	$(RUN)/python -m tests.simulation --steps $(or $(STEPS),1000000) $(ARGS)

crds: $(READY) ## write crds/, and the chart's copy, from the models
	$(RUN)/python -m podpin.crd > $(CRD)
	cp $(CRD) $(CHART_CRD)

diagram: $(READY) ## write docs/states.md from the table of transitions
	$(RUN)/python -m podpin.diagram > docs/states.md

# Whichever of these there is. Say ENGINE="sudo docker", or IMAGE=registry.example.com/podpin:0.1.0 to push it afterwards.
ENGINE ?= $(firstword $(shell command -v docker podman buildah 2>/dev/null))
IMAGE ?= podpin:0.1.0

image: ## podpin's image, by Docker, Podman or Buildah (IMAGE=registry.example.com/podpin:0.1.0)
	@test -n "$(ENGINE)" || { echo "building an image needs Docker, Podman or Buildah" >&2; exit 1; }
	$(ENGINE) build --file Containerfile --tag $(IMAGE) $(ARGS) .

.PHONY: bundle
bundle: $(READY) ## podpin's bundle for OLM, in bundle/ (IMAGE=registry.example.com/podpin@sha256:…)
	$(RUN)/python -m tests.charts.bundle $(IMAGE) bundle

run: $(READY) ## podpin on this machine, against the current kubeconfig (ARGS="--namespace shop")
	$(RUN)/podpin run $(ARGS)

cluster-up: $(READY) ## start the test cluster and leave it running
	$(RUN)/python -m tests.cluster up

cluster-down: $(READY) ## stop it, leaving nothing behind
	$(RUN)/python -m tests.cluster down

cluster-shell: $(READY) ## a shell with KUBECONFIG and the registry's address set
	$(RUN)/python -m tests.cluster shell

.PHONY: demo-shell demo-down picture
demo: $(READY) ## the main job on a real cluster, shown as it happens; leaves it running for a look around
	@$(RUN)/python -m tests.demo

demo-shell: $(READY) ## a shell beside the demo
	@$(RUN)/python -m tests.demo shell

demo-down: $(READY) ## remove the demo and its cluster
	@$(RUN)/python -m tests.demo down

picture: $(READY) ## record docs/pictures/ from a run of the demo
	$(RUN)/python -m tests.demo.picture

clean: ## remove the virtual environment and all caches of this checkout
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
