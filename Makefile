# `make help` lists what there is. Every target that needs .venv creates it first.
PYTHON ?= python3
BIN := .venv/bin
NB ?=
P ?=
PARAMS ?=
PETERSON ?=
NAMES ?=
PORT ?= 8000

# One thread per process and a fixed hash seed: the same bits on every run.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export VECLIB_MAXIMUM_THREADS := 1
export PYTHONHASHSEED := 0
# The kernel "python3" is the one of .venv, even where the user has another of that name.
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.DEFAULT_GOAL := help
.PHONY: help install book test quick lint browser serve sync run human train bench screenshots pdf pictures preview lock clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

install: .venv/installed ## create .venv and install everything (needs the network once)

.venv/installed: pyproject.toml requirements.lock scripts/install.py
	@$(PYTHON) scripts/install.py

book: .venv/installed ## execute every notebook and build the book; PARAMS=file.yaml for other parameters
	@$(BIN)/python scripts/build_book.py $(if $(PARAMS),--params $(PARAMS))

test: .venv/installed lint ## everything: style, unit tests, notebooks against their outputs, book, pages
	$(BIN)/python -m pytest tests notebooks --ignore=tests/test_pages.py --ignore=tests/browser \
		--nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg --durations=10
	@$(BIN)/python scripts/build_book.py
	$(BIN)/python -m pytest tests/test_pages.py tests/browser

quick: .venv/installed ## the unit tests alone
	$(BIN)/python -m pytest tests --ignore=tests/test_pages.py --ignore=tests/browser -m "not slow"

lint: .venv/installed ## ruff: check and format
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

browser: ## the browser for the page tests (Debian, as root)
	@command -v chromium >/dev/null || (apt-get update -q && apt-get install -y -q --no-install-recommends chromium)

serve: .venv/installed ## show the built book on this machine; PORT=8000
	@$(BIN)/python scripts/serve.py $(PORT)

sync: .venv/installed ## convert and execute notebooks whose text changed; NB=02 for one, NB=all for all
	@$(BIN)/python scripts/sync.py $(NB)

run: .venv/installed ## one notebook with papermill: make run NB=02 P="dataset=mnist n_models=10"
	@$(BIN)/python scripts/run.py "$(NB)" $(P)

human: .venv/installed ## record section 2's results again from your copy of the judgments: make human PETERSON=folder
	$(BIN)/python scripts/record_human.py sets "$(PETERSON)"

train: .venv/installed ## train the LeNet-5 ensembles again (long)
	$(BIN)/python -m helpers.training mnist
	$(BIN)/python -m helpers.training cifar10

bench: .venv/installed ## ours and its peers side by side, some ten minutes; NAMES="curve bootstrap" for some
	$(BIN)/python benchmarks/run.py $(NAMES)

screenshots: .venv/installed ## pictures of every built page in _build/screenshots: wide, phone, dark
	@$(BIN)/python scripts/screenshots.py

pdf: .venv/installed ## the whole built book as _build/book.pdf (after `make book`; needs the browser)
	@$(BIN)/python scripts/make_pdf.py

pictures: .venv/installed ## the logo, the icon and the card for social media in book/_static
	@$(BIN)/python scripts/make_pictures.py --card

preview: .venv/installed ## the picture of the book in README.md
	@$(BIN)/python scripts/screenshots.py --preview book/_static/preview.png

lock: .venv/installed ## write requirements.lock and environment.yml from pyproject.toml
	@UV_FIND_LINKS= $(BIN)/python scripts/lock.py

clean: ## remove what was built (.venv and downloaded data stay)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
