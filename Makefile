# make train   set up .venv and train Yin-Yang          make test   set up .venv and run all checks
# PYTHON=python3.12 picks another interpreter. PIP_FLAGS goes to pip; saltation runs on the CPU, so
# PIP_FLAGS='--extra-index-url https://download.pytorch.org/whl/cpu' saves the download of the CUDA libraries.
# The tests share the cores, up to four: make WORKERS=0 test runs them in one process.

PYTHON ?= python3
PIP_FLAGS ?=
WORKERS ?= auto
BIN := .venv/bin
STAMP := .venv/.installed
NEST_STAMP := .venv/.nest
SPHINX := $(BIN)/sphinx-build -W --keep-going -n -q

.PHONY: help train test lint docs versions clean

help:
	@echo "make train     set up .venv and train Yin-Yang with weights, delays and thresholds"
	@echo "make test      set up .venv and run format check, lint, type check, documentation and tests"
	@echo "make lint      format check, lint and type check only"
	@echo "make docs      build the documentation in docs/_build, with the tutorials run"
	@echo "make versions  try the lowest and the newest versions of all dependencies, each in a fresh environment"
	@echo "make clean     remove .venv and caches (never runs/)"

train: $(STAMP)
	$(BIN)/saltation train yin_yang

test: lint $(NEST_STAMP)
	$(BIN)/python tests/pinned.py
	$(SPHINX) -D plot_gallery=0 docs docs/_build
	$(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -m nojit

lint: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# The tests run the tutorials too, without making pictures.
docs: $(STAMP)
	$(SPHINX) docs docs/_build
	@echo "open docs/_build/index.html"

# Gigabytes of CUDA libraries, if PIP_FLAGS does not spare them. VERSIONS='lowest --pin torch==2.13.0' tries less, and
# VERSIONS='newest --install' only builds, installs and trains.
versions:
	$(PYTHON) tests/versions.py --pip='$(PIP_FLAGS)' $(VERSIONS)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	"saltation needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[test,docs]'
	@touch $@

# NEST is an independent simulator that some tests compare with; it has no wheel for every platform.
$(NEST_STAMP): $(STAMP)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[nest]' \
	|| echo "NEST not available; its tests will be skipped"
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build docs/gallery
