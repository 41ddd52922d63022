# The study: what is made from what, and with which commands. `make` lists the targets, `make -n
# reproduce-figures` shows every step, `make runs/full/filvm-mnist/.done` makes one thing.

PROFILE ?= full
PYTHON ?= python3
REQUIRE_MNIST ?=

.DEFAULT_GOAL := help
SHELL := /bin/bash

DATA := data
RUNS := runs/$(PROFILE)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt --editable

# Two steps run in parallel unless -j is given. Each step gets its share of the cores: more threads
# than cores slow each other down.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j2
endif
JOBS = $(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),2)
THREADS = $(shell expr $$(getconf _NPROCESSORS_ONLN) / $(JOBS) \| 1)
ifndef OMP_NUM_THREADS
$(DATA)/% $(RUNS)/%: export OMP_NUM_THREADS = $(THREADS)
$(DATA)/% $(RUNS)/%: export TF_NUM_INTRAOP_THREADS = $(THREADS)
$(DATA)/% $(RUNS)/%: export LOKY_MAX_CPU_COUNT = $(THREADS)
endif

REQUIRE := $(if $(REQUIRE_MNIST),--require-mnist)
WHERE = --profile $(PROFILE) --runs $(patsubst %/,%,$(dir $(RUNS))) --data $(DATA) $(REQUIRE)
FILVM := TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m filvm

done = $(patsubst %,$(RUNS)/%/.done,$(1))
figures = $(patsubst %,$(RUNS)/figures/%.png,$(1))
notebooks = $(patsubst %,$(RUNS)/notebooks/%.ipynb,$(1))

# --- The data ---------------------------------------------------------------------------------

MNIST := $(DATA)/mnist/source.json
# The quick profile derives data from the first digits only.
DERIVED := $(DATA)$(if $(filter quick,$(PROFILE)),/quick)
MNIST_R := $(DERIVED)/mnist_r/made.json
THICKNESS := $(DERIVED)/mnist/thickness.csv
MORPHOMETRICS := $(DERIVED)/mnist/morphometrics.csv

$(MNIST_R) $(THICKNESS) $(MORPHOMETRICS): $(MNIST)

# No timestamp shows that MNIST was found after the sample of 5,000 digits was used: then the search
# is repeated. It changes source.json only if it finds other digits.
AT_HAND := $(FILVM_MNIST_DIR)$(wildcard $(DATA)/mnist/t10k-labels-idx1-ubyte* \
	$(or $(KERAS_HOME),$(HOME)/.keras)/datasets/mnist.npz)
ifneq ($(and $(AT_HAND)$(REQUIRE),$(shell grep -s 'sample of 5,000 digits' $(MNIST))),)
$(MNIST): search-again
endif

# --- The trainings ----------------------------------------------------------------------------

REPORT := vae-mnist vae-mnist-r vae-sequences oracles-mnist oracles-mnist-r \
	ilvm-mnist filvm-mnist filvm-mnist-report filvm-mnist-r filvm-mnist-r-report \
	filvm-sequences filvm-sequences-start-step filvm-sequences-report flow-density
BEYOND := invertible-mnist invertible-mnist-r invertible-sequences vae-sequences-plain \
	vae-mnist-16 filvm-mnist-morpho vae-words filvm-words invertible-words
# Three seeds of every variant of the FILVM: ablations/<data set>/<variant>/seed-<seed>.
AMENDMENTS := informed-generative swap-consistency positive-slopes independence
VARIANTS := the-reports-recipe ours \
	$(AMENDMENTS:%=with-%-alone) $(AMENDMENTS:%=without-%)
LABELLED := $(VARIANTS) with-ordered-softmax-alone without-ordered-softmax
ABLATED_mnist := $(LABELLED) ilvm invertible-lens side-information-of-10 \
	side-information-of-600-digits side-information-of-100-digits
ABLATED_mnist-r := $(LABELLED) numbers-not-scaled
ABLATED_sequences := $(VARIANTS) numbers-not-scaled
ablations_of = $(patsubst %,ablations/$(1)/%/seed-$(2),$(ABLATED_$(1)))
# All variants of a seed come before the next seed: a table needs one seed of each.
ABLATIONS := $(foreach seed,0 1 2,$(foreach data,mnist mnist-r sequences, \
	$(call ablations_of,$(data),$(seed))))
# Lenses by data set; with another seed, on the VAE of that seed: seeds/<experiment>/seed-<seed>.
LENSES_mnist := ilvm-mnist filvm-mnist filvm-mnist-report invertible-mnist
LENSES_mnist-r := filvm-mnist-r-report filvm-mnist-r invertible-mnist-r
LENSES_sequences := filvm-sequences filvm-sequences-start-step filvm-sequences-report \
	invertible-sequences
LENSES_words := filvm-words invertible-words
OTHER_SEEDS := 1 2
with_seed = $(foreach seed,$(2),$(1:%=seeds/%/seed-$(seed)))
SEEDED := $(foreach seed,$(OTHER_SEEDS),$(foreach data,mnist-r mnist sequences words, \
	$(call with_seed,vae-$(data) $(LENSES_$(data)),$(seed))))
EXPLORED := vae-mnist filvm-mnist invertible-mnist oracles-mnist vae-mnist-r filvm-mnist-r \
	oracles-mnist-r vae-sequences filvm-sequences vae-words filvm-words
SERVED := $(filter vae-% ilvm-% filvm-%,$(REPORT))

JUDGES_mnist := $(RUNS)/oracles-mnist/.done $(THICKNESS)
JUDGES_mnist-r := $(RUNS)/oracles-mnist-r/.done $(MNIST_R)
$(call done,vae-mnist $(call with_seed,vae-mnist,$(OTHER_SEEDS)) vae-mnist-16 oracles-mnist): $(MNIST)
$(call done,vae-mnist-r $(call with_seed,vae-mnist-r,$(OTHER_SEEDS)) oracles-mnist-r): $(MNIST_R)
$(call done,vae-sequences $(call with_seed,vae-sequences,$(OTHER_SEEDS)) vae-sequences-plain):
$(call done,vae-words $(call with_seed,vae-words,$(OTHER_SEEDS))):
define lenses
$(call done,$(LENSES_$(1)) $(filter ablations/$(1)/%,$(ABLATIONS))): \
	$(RUNS)/vae-$(1)/.done $(JUDGES_$(1))
$(foreach seed,$(OTHER_SEEDS),$(eval $(call done,$(call with_seed,$(LENSES_$(1)),$(seed))): \
	$(RUNS)/seeds/vae-$(1)/seed-$(seed)/.done $(JUDGES_$(1))))
endef
$(foreach data,mnist mnist-r sequences words,$(eval $(call lenses,$(data))))
$(RUNS)/filvm-mnist-morpho/.done: $(RUNS)/vae-mnist-16/.done $(MORPHOMETRICS)

# --- The figures and tables -------------------------------------------------------------------

$(call figures,figure_01 figure_03 figure_A1): $(call done,vae-mnist)
$(call figures,figure_02): $(call done,ilvm-mnist filvm-mnist)
$(call figures,figure_04 figure_B2): $(call done,vae-mnist-r)
$(call figures,figure_05 figure_A2 figure_A3 figure_A4 table_1 table_B1): $(call done,vae-sequences)
$(call figures,figure_06 figure_06_restarts figure_06_energies figure_06_samples): \
	$(call done,flow-density)
$(call figures,figure_07): $(call done,ilvm-mnist filvm-mnist-report filvm-mnist)
$(call figures,figure_08 figure_A7): $(call done,filvm-mnist-r-report filvm-mnist-r)
$(call figures,figure_09 figure_12): \
	$(call done,filvm-sequences-report filvm-sequences-start-step filvm-sequences)
$(call figures,figure_10): $(call done,filvm-mnist-report filvm-mnist oracles-mnist)
$(call figures,figure_11): $(call done,filvm-mnist-r-report filvm-mnist-r oracles-mnist-r)
$(call figures,figure_B1): $(call done,filvm-mnist)
$(call figures,figure_B3): $(call done,filvm-mnist-report filvm-mnist)
$(call figures,figure_B4): $(call done,filvm-sequences-report filvm-sequences)
$(call figures,figure_A5 figure_A6): $(call done,filvm-mnist-r)
$(call figures,figure_A8): $(call done,ilvm-mnist filvm-mnist-r-report)

# The page with the models, beyond the report's with the lens that can be undone.
$(RUNS)/explorer/explorer.json: $(call done,$(EXPLORED)) $(THICKNESS) $(MNIST_R) \
	$(wildcard filvm/serving/explorer/*.*s filvm/serving/explorer/*.html)

# Two processes draw the figures, so that no core waits: one those of sequences and flows, the other
# one the rest and the table.
OF_SEQUENCES := figure_05 figure_06 figure_06_restarts figure_06_energies figure_06_samples \
	figure_09 figure_12 figure_A2 figure_A3 figure_A4 figure_B4 table_1 table_B1
$(RUNS)/figures/.sequences: $(call done,vae-sequences flow-density \
	filvm-sequences-report filvm-sequences-start-step filvm-sequences)
$(RUNS)/RESULTS.md: $(call done,$(REPORT))
$(RUNS)/ablations/ablations.md: $(call done,$(ABLATIONS))
$(RUNS)/beyond/beyond.md: $(call done,$(BEYOND) \
	filvm-mnist filvm-mnist-report filvm-mnist-r filvm-mnist-r-report vae-sequences filvm-sequences)

# --- The notebooks ----------------------------------------------------------------------------

NOTEBOOKS := 01_vae_on_mnist 02_vae_on_rotated_mnist 03_vae_on_sequences 04_normalizing_flows \
	digit_thickness_dataset 05_lens_on_mnist what_makes_filvm_work 06_lens_on_rotated_mnist \
	07_lens_on_sequences 08_results 09_your_own_data

$(RUNS)/notebooks/01_vae_on_mnist.ipynb: $(call done,vae-mnist)
$(RUNS)/notebooks/02_vae_on_rotated_mnist.ipynb: $(call done,vae-mnist-r vae-mnist)
$(RUNS)/notebooks/03_vae_on_sequences.ipynb: $(call done,vae-sequences)
$(RUNS)/notebooks/04_normalizing_flows.ipynb: $(call done,flow-density)
$(RUNS)/notebooks/digit_thickness_dataset.ipynb: $(THICKNESS)
$(RUNS)/notebooks/05_lens_on_mnist.ipynb: $(call done,filvm-mnist filvm-mnist-report ilvm-mnist)
$(RUNS)/notebooks/what_makes_filvm_work.ipynb: $(call done,vae-mnist oracles-mnist) $(THICKNESS)
$(RUNS)/notebooks/06_lens_on_rotated_mnist.ipynb: $(call done,filvm-mnist-r filvm-mnist-r-report)
$(RUNS)/notebooks/07_lens_on_sequences.ipynb: \
	$(call done,filvm-sequences filvm-sequences-start-step filvm-sequences-report)
$(RUNS)/notebooks/08_results.ipynb: $(call done,$(REPORT))
$(RUNS)/notebooks/10_a_lens_that_can_be_undone.ipynb: $(call done,invertible-mnist filvm-mnist)
$(RUNS)/notebooks/11_words.ipynb: $(call done,vae-words invertible-words)

# --- The commands -----------------------------------------------------------------------------

$(MNIST): | $(READY)
	@$(FILVM) data mnist --data $(DATA) $(REQUIRE)
$(MNIST_R): | $(READY)
	@$(FILVM) data mnist-r --profile $(PROFILE) --data $(DATA) $(REQUIRE) && touch $@
$(DERIVED)/mnist/%.csv: | $(READY)
	@$(FILVM) data $* --profile $(PROFILE) --data $(DATA) $(REQUIRE) && touch $@
# With one thread for operations, too, sums have a fixed order.
$(RUNS)/ablations/%: export TF_NUM_INTEROP_THREADS = 1
$(RUNS)/%/.done: | $(READY)
	@$(FILVM) train $* $(WHERE)
$(RUNS)/figures/%.png: | $(READY)
	@$(FILVM) figures $* $(WHERE)
$(RUNS)/figures/.sequences: | $(READY)
	@$(FILVM) figures $(OF_SEQUENCES) $(WHERE) && touch $@
$(RUNS)/RESULTS.md: | $(READY)
	@$(FILVM) figures --except $(OF_SEQUENCES) $(WHERE)
$(RUNS)/hero.gif: $(call done,filvm-mnist filvm-mnist-r) | $(READY)
	@$(FILVM) figures hero $(WHERE)
$(RUNS)/ablations/ablations.md: | $(READY)
	@$(FILVM) ablations $(WHERE)
$(RUNS)/beyond/beyond.md: | $(READY)
	@$(FILVM) beyond $(WHERE)
$(RUNS)/explorer/explorer.json: | $(READY)
	@$(FILVM) explore --make $(WHERE)
$(RUNS)/notebooks/%.ipynb: notebooks/%.ipynb | $(READY)
	@$(FILVM) notebooks $* $(WHERE)

# Every file appears complete or not at all: make need not delete it after an interruption.
.PRECIOUS: $(DERIVED)/mnist/%.csv $(RUNS)/%/.done $(RUNS)/figures/%.png $(RUNS)/notebooks/%.ipynb \
	$(MNIST) $(MNIST_R) $(RUNS)/figures/.sequences $(RUNS)/RESULTS.md \
	$(RUNS)/ablations/ablations.md $(RUNS)/beyond/beyond.md

# --- The targets ------------------------------------------------------------------------------

.PHONY: help setup reproduce-figures data thickness mnist-r train figures notebooks ablations beyond seeds \
	publish export explorer explorer-pictures test test-wheel test-lowest lint benchmark stress clean search-again

STRESS := $(patsubst %,benchmarks/%.py,check_numerics reproducibility fuzz fault_injection)
TIMINGS := $(patsubst %,benchmarks/%.py,vae_training flow_fitting flow_inverse thickness scaling \
	serving_latency growth)
TESTS_OF_A_WHEEL := tests/data tests/figures tests/flows tests/vae/test_vae.py tests/test_cli.py \
	tests/test_files.py tests/test_hostile_input.py

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=full (default), quick (minutes) or smoke; REQUIRE_MNIST=1 refuses the sample"

setup: $(READY) ## .venv with the dependencies of setup.cfg, pinned by constraints.txt

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "$(PYTHON) is not Python 3.10 to 3.13: make setup PYTHON=python3.12"; exit 1; }
	@exec 9< Makefile; $(PYTHON) -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2> /dev/null \
		|| { echo "another make is setting up $(VENV): wait for it, or stop it"; exit 2; }; set -ex; \
	$(PYTHON) -m venv --clear $(VENV); \
	$(INSTALL) '.[dev,notebooks,serving,tensorboard,text,onnx]'
	@touch $@

# make starts steps in this order: Figure 3, then the longest chains of trainings.
reproduce-figures: ## the data, trainings, figures and tables of the report
reproduce-figures: $(RUNS)/figures/figure_03.png \
		$(call done,filvm-mnist-r filvm-mnist-r-report vae-sequences) figures
	@echo "results: $(RUNS)/figures    $(RUNS)/RESULTS.md    (make notebooks executes the notebooks)"
ifneq ($(filter reproduce-figures,$(MAKECMDGOALS)),)
$(THICKNESS) $(call done,$(filter-out vae-mnist vae-mnist-r,$(REPORT))): \
	| $(RUNS)/figures/figure_03.png
endif

data: $(READY) ## find or download MNIST
	@$(FILVM) data mnist --data $(DATA) $(REQUIRE)
thickness: $(THICKNESS) ## the stroke thickness of every digit
mnist-r: $(MNIST_R) ## MNIST-R: eight rotations of every digit
train: $(call done,$(REPORT)) ## every experiment of the report
figures: $(RUNS)/figures/.sequences $(RUNS)/RESULTS.md ## every figure, and the table of results
notebooks: $(call notebooks,$(NOTEBOOKS)) ## executed copies of the notebooks
seeds: ## every VAE and lens with three seeds, in the tables of the report and beyond it (an hour and a half more)
seeds: $(call done,$(REPORT) $(BEYOND) $(SEEDED))
	@$(FILVM) results $(WHERE)
	@$(FILVM) beyond $(WHERE)
ablations: $(RUNS)/ablations/ablations.md ## the worth of each part of the FILVM, on three data sets with three seeds
beyond: ## beyond the report: invertible lenses, six attributes, words; tables, figures, notebooks
beyond: $(RUNS)/beyond/beyond.md $(call notebooks,10_a_lens_that_can_be_undone 11_words)

publish: ## copy the figures, tables and notebooks of a full run to docs/ and notebooks/
	$(FILVM) publish $(WHERE)

export: $(call done,$(SERVED)) ## trained models for TensorFlow Serving, checked
	@$(FILVM) export $(SERVED) --check --only-changed $(filter-out --data $(DATA) $(REQUIRE),$(WHERE))

explorer: $(RUNS)/explorer/explorer.json ## a page that runs the models in a browser; `filvm explore` opens it

explorer-pictures: $(RUNS)/explorer/explorer.json ## pictures of its views into docs/, and its speed (needs Chromium)
	$(INSTALL) '.[browser]'
	$(BIN)/python benchmarks/explorer.py $(RUNS)/explorer

test: $(READY) ## the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# In a virtual environment of its own, without the source tree.
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

# The lowest NumPy has wheels for Python 3.10: make test-lowest PYTHON=python3.10
test-lowest: ## the tests with the lowest versions that setup.cfg allows
	$(PYTHON) -m venv --clear $(VENV)-lowest
	sed -n 's/^    \([A-Za-z_-]*\)>=\([0-9.]*\).*/\1==\2/p' setup.cfg > $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(VENV)-lowest/lowest.txt --editable '.[dev,notebooks,serving,tensorboard,text,onnx]'
	$(VENV)-lowest/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -W ignore::DeprecationWarning

lint: $(READY) ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

benchmark: $(READY) ## speed, beside PyTorch and others (installs PyTorch)
	$(INSTALL) '.[benchmark]'
	@set -e; for script in $(TIMINGS); do echo "== $$script"; $(BIN)/python $$script; done

stress: $(READY) ## long checks: numbers, reproducibility, fuzzing, kills
	@set -e; for script in $(STRESS); do echo "== $$script"; $(BIN)/python $$script; done

clean: ## remove runs/ of this PROFILE, caches and build leftovers; data and .venv stay
	rm -rf $(RUNS) build dist .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
