# Everything sets itself up. Without make: python3 scripts/bootstrap.py run|test
PYTHON ?= python3
PORT ?= 8000
PROVIDER ?= demo
VENDOR ?= stripe
WORKERS ?= 2
ARGS ?=

BOOTSTRAP := $(PYTHON) scripts/bootstrap.py
BIN := .venv/bin
TEMPLATES := $(wildcard templates demo/shop/templates)

.DEFAULT_GOAL := help
.PHONY: help run install test reset lint format types contracts bench crash-matrix screenshots simulator check lock setup

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the demo on 127.0.0.1 (PORT=8000, PROVIDER=demo|direct|stripe|paddle|…)
	@PORT=$(PORT) PROVIDER=$(PROVIDER) $(BOOTSTRAP) run

install: ## Set up what a server needs; the command line is then .venv/bin/leavewell
	@$(BOOTSTRAP) install

test: ## Run the tests, on SQLite and PostgreSQL (ARGS="-k sentence", WORKERS=2)
	@$(BOOTSTRAP) test -n $(WORKERS) --dist worksteal $(ARGS)

reset: ## Throw the demo's data away
	@rm -rf .leavewell

check: lint types contracts ## Lint, types and import contracts

lint: setup ## Lint code and templates, check the format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(if $(TEMPLATES),$(BIN)/djlint --quiet --lint $(TEMPLATES),:)

format: setup ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

types: setup ## Check the types
	@$(BIN)/mypy

contracts: setup ## Check that imports only go down
	@$(BIN)/lint-imports

bench: setup ## Measure, against a bare handler of the same framework
	@$(BIN)/python -m tests.bench $(ARGS)

crash-matrix: setup ## Carry out every crash and fault, write docs/crash-matrix.md (ARGS="--vendor stripe")
	@$(BIN)/python -m tests.crash $(ARGS)

screenshots: setup ## Take the README's pictures anew, from the running demo
	@$(BIN)/python -m tests.support.screenshots

simulator: setup ## Start a simulated vendor (VENDOR=stripe, PORT=9100)
	@$(BIN)/python -m tests.support.simulator $(VENDOR) --port $(if $(filter file,$(origin PORT)),9100,$(PORT))

lock: ## Resolve the dependencies anew (ARGS=--upgrade for newer ones)
	@$(BOOTSTRAP) lock $(ARGS)

setup:
	@$(BOOTSTRAP) setup
