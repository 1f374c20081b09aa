# `make demo` and `make test` are all one needs; each sets up what is missing. `make help` lists the rest.
#
# PYTHON=/path/to/python3.12   choose the Python of the virtual environment
# VENV=.venv                   its place
# PARALLEL="-n 8 --dist loadgroup"   how many tests at once
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARALLEL := -n 2 --dist loadgroup
MEASURED := core rounds chain store

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs bench lock changelog clean

help:
	@echo 'make demo       three clients train one model together on this machine, ten rounds'
	@echo 'make test       format, lint, types, import directions, all tests with coverage'
	@echo 'make lint       the same without the tests'
	@echo 'make docs       write the reference of commands; check links, commands and keys'
	@echo 'make bench      measure against the targets of docs/performance.md; BENCH="--only nano" for some'
	@echo 'make lock       resolve all dependencies afresh into requirements.lock'
	@echo 'make changelog  move the fragments of changes/ into CHANGELOG.md'
	@echo 'make clean      remove what was built, the virtual environment included'

setup: $(READY)

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh '$(VENV)' '$(PYTHON)'
	@touch '$@'

demo: $(READY)
	@'$(BIN)/foedus' demo

define check_sources
	'$(BIN)/ruff' format --check .
	'$(BIN)/ruff' check .
	'$(BIN)/mypy'
	'$(BIN)/lint-imports'
endef

lint: $(READY)
	$(check_sources)

# Coverage is judged after pytest, and silently when it suffices: pytest's summary stays the last thing said.
test: $(READY)
	$(check_sources)
	@sh scripts/install_slurm.sh
	@sh scripts/install_browser.sh
	@sh scripts/install_postgres.sh
	'$(BIN)/python' -m pytest $(PARALLEL) $(addprefix --cov=foedus.,$(MEASURED)) --cov-report=
	@'$(BIN)/python' scripts/check_coverage.py 95 $(MEASURED)

docs: $(READY)
	'$(BIN)/python' docs/make_cli_reference.py
	'$(BIN)/python' docs/make_api_reference.py
	'$(BIN)/python' docs/make_algorithm_pages.py
	'$(BIN)/python' -m pytest -q tests/repository

bench: $(READY)
	'$(BIN)/python' -m benchmarks $(BENCH)

lock: $(READY)
	'$(BIN)/python' scripts/lock.py

changelog:
	python3 scripts/changelog.py

clean:
	rm -rf '$(VENV)' build dist htmlcov .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf src/*.egg-info
