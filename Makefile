# Every target does its own set-up on a fresh machine that has Python 3.11 or newer: `make run` is enough.
# Another Python: `PYTHON=python3.12 make run`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where the tests with a browser lie, so that the others need not be read for them (a test sees to it that these are all).
WITH_BROWSER := tests/e2e/test_pages.py tests/e2e tests/ui tests/packaging
# Files with few tests are often the long ones; sorted by number they would come last, and one process would wait for another.
BY_FILE := --dist loadfile --no-loadscope-reorder
READY := $(VENV)/.ready-run
READY_DEV := $(VENV)/.ready-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Where an environment switches compiled files off, each of the many processes that tests start would compile all of it anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test lint e2e bench results gpu-check docs wheel clean

# In a terminal the dashboard gets the keyboard to itself: Ctrl-C then ends it and not make, which would call that an error.
run: $(READY)
	@if [ -t 0 ]; then set -m; $(BIN)/glassbox; else exec $(BIN)/glassbox; fi

test: $(READY_DEV)
	$(BIN)/python -m pytest -n 3 $(BY_FILE) -m "not e2e" -q
	$(BIN)/python -m pytest $(WITH_BROWSER) -n 2 $(BY_FILE) -m e2e -q

lint: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

e2e: $(READY_DEV)
	$(BIN)/python -m pytest -m e2e

bench: $(READY_DEV)
	$(BIN)/python -m benchmarks

# Five minutes for each network, about an hour and a quarter in all; rows that are there are not run again.
TEXT ?= tinyshakespeare.txt
results: $(READY_DEV)
	$(BIN)/python -m benchmarks.family_table --text $(TEXT)

# On a machine whose own Python has torch already (a GPU server, say), `PYTHON=python3 make gpu-check` installs nothing.
ifeq ($(origin PYTHON),file)
gpu-check: $(READY)
	@$(BIN)/python benchmarks/gpu_check.py
else
gpu-check:
	@$(PYTHON) benchmarks/gpu_check.py
endif

docs: $(READY_DEV)
	$(BIN)/python -m llm_core.cli presets --settings-table > docs/settings.md

wheel: $(READY_DEV)
	$(BIN)/python -m build

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Glassbox needs Python 3.11 or newer, and there is no $(PYTHON) here. Install it, or name another: PYTHON=/path/to/python3.11 make run"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Glassbox needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: PYTHON=python3.11 make run"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make an environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(READY): pyproject.toml setup.py constraints.txt | $(VENV)/bin/python
	@echo "Installing what Glassbox needs into $(VENV) (a few minutes the first time) …"
	@$(PIP) -e .
	@touch $@

$(READY_DEV): pyproject.toml setup.py constraints.txt | $(VENV)/bin/python
	@echo "Installing what Glassbox and its tests need into $(VENV) (a few minutes the first time) …"
	@$(PIP) --no-compile -e ".[test,dev]"
	@touch $@ $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info test-artifacts
