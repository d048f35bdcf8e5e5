# Every target sets up what it needs; a second run finds it there. `make` alone lists the targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
# Commands that are compiled anew at every start are not what users have.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
# `make CORPUS=../charts corpus`: a folder of charts and manifests that are not ours.
CORPUS ?=
RELEASE_URL ?=
# `make test TESTS=tests/unit` for a part; the coverage gate holds for the whole only.
TESTS ?=
RUN := PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH" .venv/bin/python
GATE := --cov --cov-report=term:skip-covered --cov-fail-under=90

.PHONY: help setup demo world test check corpus bench dist apiserver lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what all the others need: Debian packages, .venv, helm
	@$(PYTHON) -m hack.setup

demo: setup ## Show the main job on two real registries
	@PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH" examples/demo.sh

world: setup ## A shell with the commands on PATH, a registry that stands for the internet, and one inside
	@PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH" examples/world.sh

test: setup ## Run all tests; branch coverage under 90 % is a failure
	@$(RUN) -m pytest -n 2 --dist loadfile $(if $(TESTS),$(TESTS),-m 'not undisturbed' $(GATE))
	@$(if $(TESTS),,$(RUN) -m pytest -n 2 --dist load -m undisturbed)

check: setup ## Lint, format, types, layers
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@.venv/bin/lint-imports

corpus: setup ## Run the whole path on CORPUS=DIR, charts and manifests of other people
	@test -d "$(CORPUS)" || { echo 'error: name a folder: make corpus CORPUS=DIR' >&2; exit 2; }
	@$(RUN) tests/corpus/run.py --corpus "$(CORPUS)"

bench: setup ## Measure starts, and transfers beside those of other tools
	@$(RUN) -m benchmarks.start_time
	@$(RUN) -m benchmarks.transfer
	@$(RUN) -m benchmarks.scale

dist: setup ## Build the release into dist/; RELEASE_URL=https://… goes into the krew manifest
	@$(RUN) -m hack.dist $(if $(RELEASE_URL),--release-url "$(RELEASE_URL)")

apiserver: setup ## Build a real kube-apiserver and etcd for the tests
	@hack/build-apiserver.sh

lock: ## Lock the versions in requirements/; UPGRADE=1 takes the newest
	@PYTHON="$(PYTHON)" hack/lock.sh
