# One command for each thing that a contributor does. `make BIN=/path/to/venv/bin test` uses another environment.
PYTHON ?= python3
BIN ?= .venv/bin
TESTS ?=
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help setup hooks test lint format types pages docs docs-serve check ci clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with everything that a contributor needs
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e '.[dev]'

hooks: ## check each commit before it is made
	$(BIN)/pre-commit install

test: ## run the tests; TESTS=market_assets_tests/verdicts for a part of them
	$(BIN)/pytest -q -n 4 $(TESTS)

lint: ## look for faults, for code that is not formatted, and for imports that point up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: ## format the code, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: ## check the types
	$(BIN)/mypy

pages: ## write the generated pages of docs/ again
	$(BIN)/python -m market_assets.universe_page docs/universe.md

docs: ## build the site; a broken link fails
	$(BIN)/zensical build --clean --strict

docs-serve: ## show the site at http://localhost:8000, and build it again at each change
	$(BIN)/zensical serve

check: lint types docs test ## everything but the installation

ci: ## what must pass before a merge: a new .venv, and all of `check`
	.ci/run

clean: ## remove what tools have left
	rm -rf site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
