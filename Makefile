# `make report`, `make test`, `make lab`, `make bench`: each sets up .venv first, and does nothing twice.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
AS_OF  ?= 2026-09-30

.PHONY: report test test-all fuzz kills lab bench lock lint words dictionary help
help:
	@echo "make report | test | lab | bench   (and: fuzz, kills, lint, lock, dictionary)"

# A lock with hashes, installed by the pip it names; this package itself, linked, from the build tools the lock
# already holds; byte code, compiled on every core (an uncompiled pandas costs every report seconds; other people's
# tests are left out, and some packages hold files that are no Python 3).
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	awk '/^[^ ]/ {installer = /^pip==/} installer' requirements.lock >$(VENV)/pip.lock
	$(PIP) --require-hashes -r $(VENV)/pip.lock
	$(PIP) --no-compile --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	-@$(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib
	$(BIN)/python -m compileall -q salesops_lib
	@touch $@

report: $(STAMP)
	$(BIN)/salesops load sample
	$(BIN)/salesops render weekly_leadership --as-of $(AS_OF) --workers 2
	@echo "Open reports/out/index.html"

# Three at once on two cores: an algebra library that starts threads of its own only gets in their way.
test: $(STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadgroup --durations 40

# For the night: as many damaged exports loaded as SALESOPS_FUZZ says; `make test` loads 36.
fuzz: $(STAMP)
	SALESOPS_FUZZ=$${SALESOPS_FUZZ:-10000} $(BIN)/python -m pytest -n 2 tests/test_fuzz.py

# For the night: the report factory killed fifty times at random moments; `make test` does it twice.
kills: $(STAMP)
	SALESOPS_KILLS=$${SALESOPS_KILLS:-50} $(BIN)/python -m pytest tests/test_reliability.py -k whoever

lab: $(STAMP)
	$(BIN)/salesops lab

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/factory.py
	$(BIN)/python benchmarks/lens.py
	$(BIN)/python benchmarks/forecast.py
	$(BIN)/python benchmarks/pipeline_forecast.py
	$(BIN)/python benchmarks/reps_funnel.py
	$(BIN)/python benchmarks/territory.py --peers nearest flow kmeans milp

# What pages say, collected into the catalogues of other languages.
words: $(STAMP)
	$(BIN)/python -m salesops_lib.language.extract

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

dictionary: $(STAMP)
	$(BIN)/python -m salesops_lib.tables > data/README.md
	$(BIN)/python -m salesops_lib.gate > docs/checks.md

# The one command that makes requirements.lock: exact pins with hashes for every platform, no index address.
lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command "make lock" -q -o requirements.lock
