# `make` lists the targets. Everything a profile makes is in runs/$(PROFILE).

PROFILE ?= full
PYTHON ?= python3
REQUIRE_MNIST ?=

.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FILVM := TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m filvm
REQUIRE := $(if $(REQUIRE_MNIST),--require-mnist)
RUNS := runs/$(PROFILE)
OPTIONS = --profile $(PROFILE) $(REQUIRE)
# Two things are made side by side unless -j says otherwise.
JOBS = $(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),2)
REPRODUCE = $(FILVM) reproduce $(OPTIONS) --jobs $(JOBS)
SERVED := vae-mnist vae-mnist-r vae-sequences ilvm-mnist filvm-mnist filvm-mnist-r filvm-sequences

STRESS := benchmarks/check_numerics.py benchmarks/reproducibility.py benchmarks/fuzz.py benchmarks/fault_injection.py
TESTS_OF_A_WHEEL := tests/data tests/figures tests/flows tests/vae/test_vae.py tests/test_cli.py \
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
	@exec 9< Makefile; $(PYTHON) -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2> /dev/null \
		|| { echo "another make is setting up $(VENV): wait for it, or stop it"; exit 2; }; set -ex; \
	$(PYTHON) -m venv --clear $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev,notebooks,serving,tensorboard]'
	@touch $@

reproduce-figures: $(READY) ## data, training, figures, results, notebooks: all of the report
	$(REPRODUCE)
	@echo "look at: $(RUNS)/figures    $(RUNS)/RESULTS.md    $(RUNS)/notebooks"

data: $(READY) ## find or download MNIST
	$(FILVM) data mnist $(REQUIRE)

thickness: $(READY) ## the stroke thickness of every digit
	$(FILVM) data thickness $(REQUIRE)

mnist-r: $(READY) ## MNIST-R: eight rotations of every digit
	$(FILVM) data mnist-r $(REQUIRE)

train figures notebooks: $(READY)
	$(REPRODUCE) $@

train: ## every experiment
figures: ## every figure and the table of results
notebooks: ## executed copies of every notebook

ablations: $(READY) ## what each part of the FILVM is worth, three seeds
	$(REPRODUCE) vae-mnist oracles-mnist thickness
	$(FILVM) ablations $(OPTIONS)

beyond: $(READY) ## not the report's: lenses that can be undone, six attributes; table, figures
	$(REPRODUCE) filvm-mnist filvm-mnist-r filvm-sequences
	$(FILVM) beyond $(OPTIONS)
	$(FILVM) notebooks 10_a_lens_that_can_be_undone $(OPTIONS)

publish: ## figures and tables of a full run into docs/, its notebooks into notebooks/
	$(FILVM) publish $(OPTIONS)

export: $(READY) ## trained models for TensorFlow Serving, checked
	$(REPRODUCE) $(SERVED)
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
