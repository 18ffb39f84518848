# Two commands are enough for a newcomer: `make report` and `make test`. Both set everything up.

# The first Python on the path that is new enough; override with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.set-up
# Matplotlib and IPython keep their caches with the environment, not in the home folder.
export MPLCONFIGDIR := $(CURDIR)/.venv/matplotlib
export IPYTHONDIR := $(CURDIR)/.venv/ipython

.PHONY: help setup report test check lab browser bench proof lock dictionary notebooks clean

help:
	@echo "make report   set up, run the example reports, say where they are"
	@echo "make test     set up, run unit tests, doctests and the notebook regression"
	@echo "make lab      set up, open JupyterLab on the first notebook"
	@echo "make check    lint, formatting, types, and whether notebooks and models agree"
	@echo "make browser  look at the pages in a real Chromium (which must be installed)"
	@echo "make bench    time the estimators side by side with what people use instead"
	@echo "make proof    try every method of effects on a thousand drawn worlds (long; goes on where it stopped)"
	@echo "for maintainers: make lock | dictionary | notebooks"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found"; exit 1; }
	@echo "setting up .venv with $$($(PYTHON) --version) (about two minutes, once)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

report: setup
	@$(BIN)/loyalty batch reports.toml

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not browser"
	$(BIN)/python -m pytest --nbval notebooks

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/loyalty check

lab: setup
	$(BIN)/jupyter lab --LabApp.news_url= --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
		notebooks/00_start_here.ipynb

browser: setup
	$(BIN)/python -m pytest -m browser tests/browser

bench: setup
	$(BIN)/python benchmarks/retention.py
	$(BIN)/python benchmarks/effects.py

proof: setup
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python tools/prove.py

lock: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --extra examples --extra dev --universal \
		--fork-strategy fewest --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--quiet --output-file requirements.lock
	$(BIN)/python tools/environment_yml.py

dictionary: setup
	$(BIN)/python -m loyalty_research.data.dictionary

notebooks: setup
	$(BIN)/python tools/run_notebooks.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
