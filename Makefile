# Every target sets up .venv by itself; PYTHON names the interpreter it is made from.
PYTHON ?= python3
BIN := .venv/bin
TESTS := $(BIN)/pytest -n 2 --dist loadgroup
PACKAGES := controller hil plant_models tools
NODE := tests/e2e/node

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format benchmark clean

help:
	@echo "make demo | test | test-all | lint | format | benchmark | clean"

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "twinline needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@echo "Installing twinline and its pinned dependencies into .venv (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# A client of another make for the controller's OPC UA server. Node.js itself is a wheel in .venv.
$(NODE)/node_modules/.ready: $(NODE)/package.json $(NODE)/package-lock.json | .venv/.ready
	@echo "Installing node-opcua for its test into $(NODE)/node_modules"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --prefix $(NODE) --no-audit --no-fund --loglevel=error && touch $@ || { \
		test -z "$$CI" && echo "node-opcua could not be installed: its test will be skipped"; }

demo: .venv/.ready
	$(BIN)/twinline demo

test: .venv/.ready $(NODE)/node_modules/.ready
	$(TESTS) -m "not slow"

# Slow tests may take half an hour each.
test-all: .venv/.ready $(NODE)/node_modules/.ready
	$(TESTS) --timeout 1800

lint: .venv/.ready
	$(BIN)/ruff check $(PACKAGES) tests
	$(BIN)/ruff format --check $(PACKAGES) tests
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/.ready
	$(BIN)/ruff check --fix $(PACKAGES) tests
	$(BIN)/ruff format $(PACKAGES) tests

benchmark: .venv/.ready
	$(BIN)/twinline benchmark

# Removes what make can build again; runs/ is evidence and stays.
clean:
	rm -rf .venv $(NODE)/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -exec rm -rf {} +
