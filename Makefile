# `make help` lists the commands. Every command that needs .venv creates it first.
PYTHON ?= python3
BIN := .venv/bin
NB ?=
P ?=
PARAMS ?=
PETERSON ?=
NAMES ?=
UPGRADE ?=
ACTIVATIONS ?=
REFERENCE ?=
KIND ?=
LABELS ?=
ARRAY ?=
OPTIONS ?=
PORT ?= 8000
MINUTES ?= 10

# One thread per process and a fixed hash seed, so that every run gives the same bits.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export VECLIB_MAXIMUM_THREADS := 1
export PYTHONHASHSEED := 0
# The kernel "python3" is that of .venv, even if the user has another of that name.
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# Tests of a file run in one process, two files at a time; long notebooks come first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
NOTEBOOKS := $(foreach n,02 04 06 03,$(wildcard notebooks/$(n)_*.ipynb)) notebooks book
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg
PAGE_TESTS := tests/browser/test_looks.py tests/browser/test_live_sections.py tests/browser tests/test_pages.py
UNIT_TESTS := tests --ignore=tests/browser --ignore=tests/test_pages.py

.DEFAULT_GOAL := help
.PHONY: help install book test test-slurm quick fuzz lint browser slurm serve sync run report human train bench screenshots pdf card preview metadata lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: .venv/installed ## create .venv and install everything (needs the network once)

.venv/installed: pyproject.toml requirements.lock scripts/uv.txt scripts/install.py
	@$(PYTHON) scripts/install.py

book: .venv/installed ## execute what has changed and build the book; PARAMS=file.yaml for other parameters
	@$(BIN)/python scripts/build.py $(if $(PARAMS),--params "$(PARAMS)")

test: .venv/installed lint ## run all checks: style, unit tests, notebooks against their outputs, the book and its pages
	$(BIN)/python -m pipeline activations
	$(PYTEST) $(NOTEBOOKS) $(UNIT_TESTS) $(NBVAL) --durations=10
	@$(BIN)/python scripts/build.py --committed
	$(PYTEST) $(PAGE_TESTS) --durations=10

quick: .venv/installed ## run only the fast unit tests
	$(PYTEST) $(UNIT_TESTS) -m "not slow"

test-slurm: .venv/installed ## run the sweep page on a SLURM of one node that the tests start (see make slurm)
	$(BIN)/python -m pytest tests/slurm --durations=5

fuzz: .venv/installed ## attack helpers with new hostile arrays for MINUTES=10
	$(BIN)/python tests/fuzz/campaign.py $(MINUTES) --record

lint: .venv/installed ## check style, private names and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

browser: ## install the browser for the page tests (Debian, as root)
	@command -v chromium >/dev/null || (apt-get update -q && apt-get install -y -q --no-install-recommends chromium)

slurm: ## install SLURM for `make test-slurm` (Debian, as root); nothing of it is started
	@command -v slurmctld >/dev/null || (apt-get update -q && \
	    apt-get install -y -q --no-install-recommends slurmctld slurmd slurm-client munge)

serve: .venv/installed ## serve the built book on this machine; PORT=8000 is the default
	@$(BIN)/python scripts/serve.py "$(PORT)"

sync: .venv/installed ## update the .ipynb from their text; NB=02 or NB=all executes them even if nothing has changed
	@$(BIN)/python scripts/sync.py $(NB)

run: .venv/installed ## run one notebook with other parameters: make run NB=02 P="dataset=mnist n_models=10"
	@$(BIN)/python scripts/run.py "$(NB)" $(P)

report: .venv/installed ## what your network's rare nodes do: make report ACTIVATIONS=acts.npy REFERENCE=judgments.csv KIND=similarity
	@$(BIN)/python -m pipeline report $(if $(ACTIVATIONS),--activations "$(ACTIVATIONS)") \
	    $(if $(REFERENCE),--reference "$(REFERENCE)") $(if $(KIND),--reference-kind "$(KIND)") \
	    $(if $(LABELS),--labels "$(LABELS)") $(if $(ARRAY),--array "$(ARRAY)") $(OPTIONS)

human: .venv/installed ## record page 03's results from your copy of the judgments: make human PETERSON=folder
	$(BIN)/python -m pipeline human "$(PETERSON)"

train: .venv/installed ## train the LeNet-5 ensembles again (long)
	$(BIN)/python -m pipeline train mnist --replace-shipped
	$(BIN)/python -m pipeline train cifar10 --replace-shipped

bench: .venv/installed ## run the benchmarks (about ten minutes); NAMES="curve bootstrap" for a selection
	$(BIN)/python -m benchmarks.run $(NAMES)

screenshots: .venv/installed ## take pictures of every built page (wide, phone, dark) into _build/screenshots
	@$(BIN)/python scripts/screenshots.py

pdf: .venv/installed ## print the built book to _build/book.pdf (needs the browser)
	@$(BIN)/python scripts/make_pdf.py

card: .venv/installed ## draw the card for social media in book/_static
	@$(BIN)/python scripts/make_card.py

preview: .venv/installed ## take the picture of the book for README.md
	@$(BIN)/python scripts/screenshots.py --preview book/_static/preview.png

metadata: .venv/installed ## write codemeta.json, croissant.json and the like from CITATION.cff
	@$(BIN)/python book/_ext/metadata.py

lock: .venv/installed ## write requirements.lock and environment.yml from pyproject.toml; UPGRADE=--upgrade for the newest
	@UV_FIND_LINKS= $(BIN)/python scripts/lock.py $(UPGRADE)

clean: ## remove everything that was built (.venv and downloaded data stay)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
