# Needs make and Python 3.11 or newer, nothing else. `make` lists the verbs.
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
IS_NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
# The constraints were resolved with 3.11, so it comes first. Another one: make PYTHON=/path/to/python3.12 demo
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && { echo $$p; break; }; done)

PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# One tensor thread: on a busy machine two were measured 10 to 30 times slower. Offline: no test reaches a network.
PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

.PHONY: help demo test test-all test-long test-gpu bench reference lint clean

help:  ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## from a conversation to a promoted adapter and back, in two minutes
	@$(BIN)/python -m ice_agent.demo

test: $(VENV)/.installed-dev  ## the gate: tests, types, style
	@$(PYTEST) -n auto --maxprocesses 4 --dist worksteal -m "not slow and not long and not gpu"

test-all: test  ## the slow tests too: wheel, demo, a whole story, an edit of the bundled model
	@$(PYTEST) -m "slow and not gpu"

test-long: $(VENV)/.installed-dev  ## thousands of random histories, 150,000 forgeries, the leak probe: hours
	@$(PYTEST) -m long

test-gpu: $(VENV)/.installed-dev  ## what needs a CUDA device
	@$(PYTEST) -m gpu

bench: $(VENV)/.installed-bench  ## measure editing on the bundled model: one table, and a report with plots
	@$(BIN)/ice-agent bench

reference: $(VENV)/.installed  ## train the bundled model again (about two hours on a busy core; resumes)
	@$(BIN)/python -m ice_agent.reference.train

lint: $(VENV)/.installed-dev  ## format, then check style and types
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/mypy

clean:  ## remove the virtual environment, caches and builds; never your database or adapters
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing ice-agent into $(VENV) (once; torch makes it take minutes) ..."
	@$(PIP) -e ".[server]"
	@touch $@

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing ice-agent and what draws its reports into $(VENV) (once; torch makes it take minutes) ..."
	@$(PIP) -e ".[bench,server]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing ice-agent and its test tools into $(VENV) (once; torch makes it take minutes) ..."
	@$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.installed $(VENV)/.installed-bench

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ice-agent needs Python 3.11 or newer, with its venv module (Debian, Ubuntu: python3-venv)." \
		"Install it, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
