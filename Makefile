# make repro  the whole pipeline on the mini world      make test       the tests that take seconds (`pytest` runs both)
# make lint   style and types                           make test-slow  the tests that take minutes
# make bench  speed against other loops and libraries   make plots      the plots as a page (make pictures: as PNG)
# make table  strategies compared over seeds            make evidence   three worlds judged by their true labels
# make table-all     every strategy at two ratios          make table-epochs  selections by each epoch of the warm-up
# make mutants FILE=src/mygo/... TESTS=tests/...        the share of small changes to FILE that TESTS notice
# Every target makes the environment first, and only where it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# pip's local wheels, where an environment has some, are looked up by uv too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: env repro test test-slow lint table table-all table-epochs evidence bench mutants plots pictures clean

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

# Every strategy at a tenth and at three tenths of the pool, in parts if you like: make table-all SEEDS="0 1" JOBS=2
# What all of them need is collected at once. `threshold` spends no budget and `external` needs a file of yours.
ALL ?= random full quality perplexity answer_nll length ifd dsir rds combine random_balanced cluster_kmeans cluster_elbow \
	cluster_hdbscan cluster_spectral cluster_gaussian_mixture cluster_text facility_location k_center \
	expert_logits:select=expert_logits,selector=mini_stock_moe trash_mass:select=trash_mass,selector=mini_trash_can
JOBS ?= 1
table-all: $(STAMP)
	python -m mygo.comparison --seeds $(SEEDS) --strategies $(ALL) --ratios 0.1 0.3 --jobs $(JOBS) \
		--set collect.answer_alone=true collect.hidden_states=true --out work/table_all

# Selections by each epoch of the warm-up: make table-epochs SEEDS="0 1 2" SETTINGS="warmup.epochs=4" FINETUNE=1
table-epochs: $(STAMP)
	python -m mygo.comparison --epochs --seeds $(SEEDS) $(if $(SETTINGS),--set $(SETTINGS)) \
		$(if $(FINETUNE),--finetune) --out $(TABLE)

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
