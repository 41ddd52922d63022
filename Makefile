# `make` lists the targets. Everything a profile makes is in runs/$(PROFILE).

PROFILE ?= full
PYTHON ?= python3
REQUIRE_MNIST ?=

# Two steps side by side, each with half of the cores: alone, most of them would leave a core idle,
# and with more threads than cores two get in each other's way.
ifeq ($(MAKELEVEL),0)
ifneq ($(filter reproduce-figures train figures notebooks,$(MAKECMDGOALS)),)
MAKEFLAGS += -j2
HALF := $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 )))
export TF_NUM_INTRAOP_THREADS ?= $(HALF)
export OMP_NUM_THREADS ?= $(HALF)
export LOKY_MAX_CPU_COUNT ?= $(HALF)
endif
endif

.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FILVM := TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m filvm
REQUIRE := $(if $(REQUIRE_MNIST),--require-mnist)
RUNS := runs/$(PROFILE)
DIGITS := data/mnist/source.json
THICKNESS := data/mnist/thickness.csv
ROTATED := data/mnist_r/made.json
OPTIONS = --profile $(PROFILE) $(REQUIRE)

LENSES_MNIST := ilvm-mnist filvm-mnist filvm-mnist-report
LENSES_MNIST_R := filvm-mnist-r filvm-mnist-r-report
LENSES_SEQUENCES := filvm-sequences filvm-sequences-start-step filvm-sequences-report
# In this order make begins what can begin: what gives Figure 3 first, what takes long early.
EXPERIMENTS := vae-mnist vae-mnist-r oracles-mnist-r $(LENSES_MNIST_R) \
	vae-sequences $(LENSES_SEQUENCES) oracles-mnist $(LENSES_MNIST) flow-density
BEYOND := invertible-mnist invertible-mnist-r invertible-sequences
DONE := $(EXPERIMENTS:%=$(RUNS)/%/.done)
BEYOND_NOTEBOOK := $(RUNS)/notebooks/10_a_lens_that_can_be_undone.ipynb
NOTEBOOKS := $(filter-out $(BEYOND_NOTEBOOK),$(patsubst %,$(RUNS)/%,$(wildcard notebooks/*.ipynb)))
SERVED := vae-mnist vae-mnist-r vae-sequences ilvm-mnist filvm-mnist filvm-mnist-r filvm-sequences

# What filvm writes is whole or not there: after Ctrl-C or an error, make must not remove it.
.PRECIOUS: $(DIGITS) $(THICKNESS) $(ROTATED) $(RUNS)/%/.done $(RUNS)/RESULTS.md \
	$(RUNS)/notebooks/%.ipynb $(RUNS)/serving/models.config

STRESS := benchmarks/check_numerics.py benchmarks/reproducibility.py benchmarks/fuzz.py benchmarks/fault_injection.py
TESTS_OF_A_WHEEL := tests/data tests/figures tests/flows tests/models/test_vae.py tests/test_cli.py \
	tests/test_files.py tests/test_hostile_input.py

.PHONY: help setup reproduce-figures data thickness mnist-r train figures notebooks ablations beyond publish export test \
	test-wheel test-lowest lint benchmark stress clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=full (default), quick (minutes) or smoke; REQUIRE_MNIST=1 never falls back on a sample"

setup: $(READY) ## .venv with what setup.cfg and constraints.txt say

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.10 to 3.13 is needed, $(PYTHON) is another: make setup PYTHON=python3.12"; exit 1; }
	@$(call alone,Makefile,another make is setting up $(VENV)); set -ex; \
	$(PYTHON) -m venv --clear $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev,notebooks,serving,tensorboard]'
	@touch $@

# $(call alone,file,message): whoever comes while the rest of a recipe runs gets the message.
alone = exec 9< $(1); $(PYTHON) -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2> /dev/null \
	|| { echo "$(2): wait for it, or stop it"; exit 2; }

# Data first: make looks in order for what can begin, and would pass by what waits for them.
reproduce-figures: $(READY) ## data, training, figures, results, notebooks: all of the report
	@mkdir -p $(RUNS); touch $(RUNS)/.lock; $(call alone,$(RUNS)/.lock,another make is at work in $(RUNS)); set -e; \
	$(MAKE) --no-print-directory mnist-r; $(MAKE) --no-print-directory figures notebooks
	@echo "look at: $(RUNS)/figures    $(RUNS)/RESULTS.md    $(RUNS)/notebooks"

data: $(DIGITS) ## find or download MNIST

$(DIGITS): | $(READY)
	$(FILVM) data mnist $(REQUIRE)

thickness: $(THICKNESS) ## the stroke thickness of every digit

$(THICKNESS): $(DIGITS)
	$(FILVM) data thickness $(REQUIRE)
	@touch $@

mnist-r: $(ROTATED) ## MNIST-R: eight rotations of every digit

$(ROTATED): $(DIGITS)
	$(FILVM) data mnist-r $(REQUIRE)
	@touch $@

train: $(DONE) ## every experiment

$(RUNS)/%/.done: | $(READY)
	$(FILVM) train $* $(OPTIONS)

# The first figure is there minutes after the start; the others come once all is trained.
$(RUNS)/vae-mnist/.done: | $(READY)
	$(FILVM) train vae-mnist $(OPTIONS)
	$(FILVM) figures figure_03 $(OPTIONS)

$(RUNS)/vae-mnist/.done $(RUNS)/oracles-mnist/.done: $(DIGITS)
$(RUNS)/vae-mnist-r/.done $(RUNS)/oracles-mnist-r/.done: $(ROTATED)
$(LENSES_MNIST:%=$(RUNS)/%/.done): $(RUNS)/vae-mnist/.done $(RUNS)/oracles-mnist/.done $(THICKNESS)
$(LENSES_MNIST_R:%=$(RUNS)/%/.done): $(RUNS)/vae-mnist-r/.done $(RUNS)/oracles-mnist-r/.done
$(LENSES_SEQUENCES:%=$(RUNS)/%/.done): $(RUNS)/vae-sequences/.done

figures: $(RUNS)/RESULTS.md ## every figure and the table of results

$(RUNS)/RESULTS.md: $(DONE)
	$(FILVM) figures $(OPTIONS)

notebooks: $(NOTEBOOKS) ## executed copies of every notebook

$(RUNS)/notebooks/%.ipynb: notebooks/%.ipynb $(DONE) $(THICKNESS)
	$(FILVM) notebooks $* $(OPTIONS)

ablations: $(RUNS)/vae-mnist/.done $(RUNS)/oracles-mnist/.done $(THICKNESS) ## what each part of the FILVM is worth, three seeds
	$(FILVM) ablations $(OPTIONS)

beyond: $(BEYOND:invertible-%=$(RUNS)/filvm-%/.done) ## not the report's: lenses that can be undone, their table and figure
	$(FILVM) beyond $(OPTIONS)
	$(FILVM) notebooks 10_a_lens_that_can_be_undone $(OPTIONS)

publish: ## figures and tables of a full run into docs/, its notebooks into notebooks/
	$(FILVM) publish $(OPTIONS)

export: $(RUNS)/serving/models.config ## trained models for TensorFlow Serving, checked

$(RUNS)/serving/models.config: $(SERVED:%=$(RUNS)/%/.done)
	$(FILVM) export $(SERVED) --check --only-changed --profile $(PROFILE)

test: $(READY) ## the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# What a user has: a wheel and what it needs, then the tests, and no source tree in sight.
test-wheel: ## commands and tests on an installed wheel
	rm -rf $(VENV)-wheel build && $(PYTHON) -m venv $(VENV)-wheel && mkdir $(VENV)-wheel/tree
	$(VENV)-wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(VENV)-wheel .
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt $(VENV)-wheel/filvm-*.whl
	cp -r tests setup.cfg $(VENV)-wheel/tree
	cd $(VENV)-wheel/tree && export TF_CPP_MIN_LOG_LEVEL=2 \
		&& ../bin/filvm --help > help.txt && ../bin/filvm list > list.txt \
		&& ../bin/filvm train vae-sequences --profile smoke \
		&& ! ../bin/filvm notebooks 2> notebooks.txt && grep 'repository' notebooks.txt
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt pytest pytest-timeout pytest-xdist hypothesis
	cd $(VENV)-wheel/tree && ../bin/python -m pytest $(TESTS_OF_A_WHEEL)

# Wants a Python that has the lowest NumPy: make test-lowest PYTHON=python3.10
test-lowest: ## the tests with the lowest versions that setup.cfg allows
	$(PYTHON) -m venv --clear $(VENV)-lowest
	sed -n 's/^    \([A-Za-z_-]*\)>=\([0-9.]*\).*/\1==\2/p' setup.cfg > $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(VENV)-lowest/lowest.txt --editable '.[dev,notebooks,serving,tensorboard]'
	$(VENV)-lowest/bin/python -m pytest --numprocesses auto --dist loadfile -W ignore::DeprecationWarning

lint: $(READY) ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

benchmark: $(READY) ## what is measured against what; see benchmarks/
	@set -e; for script in $(filter-out $(STRESS),$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(BIN)/python $$script; done

stress: $(READY) ## what takes longer than tests may: checked numbers, fuzzing, kills
	@set -e; for script in $(STRESS); do echo "== $$script"; $(BIN)/python $$script; done

clean: ## remove runs/ of this PROFILE, caches and build leftovers; data and .venv stay
	rm -rf $(RUNS) build dist .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
