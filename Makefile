# Every target does its own set-up on a fresh machine that has Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-run
READY_DEV := $(VENV)/.ready-dev

.PHONY: run test lint e2e docs clean

run: $(READY)
	@exec $(BIN)/glassbox

test: $(READY_DEV)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not e2e" -q
	$(BIN)/python -m pytest -m e2e -q

lint: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

e2e: $(READY_DEV)
	$(BIN)/python -m pytest -m e2e

docs: $(READY_DEV)
	$(BIN)/python -m llm_core.cli presets --settings-table > docs/settings.md

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(READY_DEV): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,dev]"
	@touch $@ $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info test-artifacts
