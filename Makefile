# The two commands of the README are `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STUDY ?= digits

.DEFAULT_GOAL := run
.PHONY: run test check all everyday slow jax format soak clean

# The environment is made once, and again when what it holds changes.
.installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@

run: .installed
	$(BIN)/toprung run $(STUDY)

test: .installed all jax

# Each file's tests go to one process: they share what is slow to make. tests/conftest.py says in which order.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

all:
	$(PYTEST)

everyday:
	$(PYTEST) -m 'not slow'

jax:
	KERAS_BACKEND=jax $(PYTEST) -m 'backend and not slow'

slow:
	$(PYTEST) -m slow

# The tests of faults with hundreds of repetitions each; what was tried is counted in soak.txt.
soak: .installed
	rm -f soak.txt
	TOPRUNG_SOAK=$(CURDIR)/soak.txt $(PYTEST) $(wildcard tests/test_faults_*.py); code=$$?; cat soak.txt; exit $$code

check: .installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .installed build dist *.egg-info soak.txt .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
