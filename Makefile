# make repro  the whole pipeline on the mini world      make test       the tests that take seconds (`pytest` runs both)
# make lint   style and types                           make test-slow  the tests that take minutes
# make bench  speed against other loops and libraries   make plots      the plots as a page (make pictures: as PNG)
# make table  strategies compared over seeds            make evidence   three worlds judged by their true labels
# make mutants FILE=src/mygo/... TESTS=tests/...        the share of small changes to FILE that TESTS notice
# Every target makes the environment first, and only where it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# pip's local wheels, where an environment has some, are looked up by uv too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: env repro test test-slow lint table evidence bench mutants plots pictures clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] \
		if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip install --python $(BIN)/python --constraint constraints.txt --compile-bytecode \
		--editable '.[dev]'
	touch $(STAMP)

repro: $(STAMP)
	dvc repro

# Two workers of one thread each, on two cores. A file stays with one worker, so that what its tests share is made once.
test: $(STAMP)
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(STAMP)
	pytest -m slow

lint: $(STAMP)
	ruff check .
	ruff format --check .
	pyright

# Strategies over seeds, in parts if you like:
# make table SEEDS="0 1" STRATEGIES="quality random" SETTINGS="select.ratio=0.1"
SEEDS ?= 0 1 2 3 4
STRATEGIES ?= quality random full perplexity length
TABLE ?= work/table
table: $(STAMP)
	python -m mygo.comparison --seeds $(SEEDS) --strategies $(STRATEGIES) $(if $(SETTINGS),--set $(SETTINGS)) \
		--out $(TABLE)

# What clean samples alone would give: three worlds, judged by their true labels.
evidence: $(STAMP)
	pytest -m evidence tests/test_sensitivity.py

bench: $(STAMP)
	OMP_NUM_THREADS=1 python -m benchmarks.scoring
	OMP_NUM_THREADS=1 python -m benchmarks.selection
	OMP_NUM_THREADS=1 python -m benchmarks.clustering

mutants: $(STAMP)
	$(BIN)/python -c 'import cosmic_ray' 2> /dev/null || \
		$(BIN)/python -m uv pip install --python $(BIN)/python 'cosmic-ray>=8.7'
	OMP_NUM_THREADS=1 python -m benchmarks.mutants $(FILE) $(TESTS)

plots: $(STAMP)
	dvc plots show

# What interrupted runs keep to go on from; `collect` itself removes what nobody touched for two weeks.
clean:
	rm -rf work logs dvc_plots

pictures: $(STAMP)
	python docs/draw_pictures.py
