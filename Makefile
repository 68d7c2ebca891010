PYTHON ?= python3
BIN := .venv/bin
NEW := .venv/.python

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: export CHARTER_CHECK_ANSWERS ?= report
run: .venv/.run ## Install, migrate and run Charter on http://127.0.0.1:8000, and check every response
	@$(BIN)/charter migrate
	@exec $(BIN)/charter serve

# Each worker process would rewrite the assertions of all modules again: 4 seconds.
check test: export PYTHONDONTWRITEBYTECODE :=

.PHONY: check
check: .venv/.test ## Check format, style and types, and run the quick tests on SQLite
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n auto --maxprocesses=3 --quick --ignore=tests/soak

.PHONY: test
test: .venv/.test .venv/.node ## Run every check and every deterministic test, on both databases. Takes about 10 minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 4 $(STUCK) --ignore=tests/soak

# A test that waits forever prints where it waits, and fails. No test takes a third of this time.
STUCK := -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true

# These tests measure no time: they kill processes, and count rows and responses, or measure memory. They mostly wait, so
# they run beside each other. All other soak tests run alone.
PARALLEL_SOAK := $(patsubst %,tests/soak/test_%.py,abuse chaos codes deletions event_purge last_admin mail_crashes \
	rate_limit_rows rate_limits replicas rolling_upgrade trials uploads)
FUZZ := $(patsubst %,tests/contract/test_%.py,compiler strict_json) \
	tests/contract/test_schemathesis.py::test_every_response_conforms_to_the_contract

.PHONY: soak
soak: .venv/.test ## Run the tests that measure time, kill processes, flood or fuzz for long. Takes about 10 minutes
	$(BIN)/pytest -v $(STUCK) --durations=15 $(PARALLEL_SOAK:%=--ignore=%) tests/soak
	$(BIN)/pytest -v -n 3 $(STUCK) --durations=15 --seeds=random --examples=10 $(PARALLEL_SOAK) $(FUZZ)

.PHONY: limits
limits: .venv/.test ## Run the long form of the soak of rate limits: an attack of a minute, and a million budgets: 10 minutes
	$(BIN)/pytest -v --long $(patsubst %,tests/soak/test_%.py,guesses rate_limits rate_limit_rows)

.PHONY: codes
codes: .venv/.test ## Run the long form of the soak of one-time codes: 50 rounds, and 2,000 timings: 5 minutes
	$(BIN)/pytest -v --long tests/soak/test_codes.py tests/soak/test_timing.py -k "uses or reset_request"

SEED ?= random
EXAMPLES ?= 1000

.PHONY: fuzz
fuzz: .venv/.test ## Fuzz a running server. SEED=1 replays a run, EXAMPLES=5000 makes it longer
	$(BIN)/pytest -q -s --seeds=$(SEED) --examples=$(EXAMPLES) tests/contract/test_schemathesis.py

.PHONY: abuse
abuse: .venv/.test ## Run the long form of the abuse soak: 100,000 hostile requests (REQUESTS=, SEED=), stalled clients
	$(BIN)/python -m tests.soak.abuse

.PHONY: chaos
chaos: .venv/.test ## Run the long form of the chaos soak: kill workers, the service and its database under load: 8 minutes
	$(BIN)/python -m tests.soak.chaos

ONLY ?=
ROUNDS ?= 5
SECONDS ?= 4
BASE ?=
RESUME ?= 0
BASELINES := $(patsubst benchmarks/speed/baselines/%/requirements.in,%,$(wildcard benchmarks/speed/baselines/*/requirements.in))

.PHONY: bench
bench: .venv/.test $(BASELINES:%=.venv/bench/%/.installed) ## Compare the speed with other frameworks. Takes about an hour. RESUME=1 continues a run, ONLY=ping,scale measures a part
	@command -v wrk >/dev/null || { echo "make bench needs wrk: apt-get install wrk" >&2; exit 1; }
	$(BIN)/python -m benchmarks.speed --only=$(ONLY) --rounds=$(ROUNDS) --seconds=$(SECONDS) --base=$(BASE) --resume=$(RESUME)

.PHONY: format
format: .venv/.test ## Format the code and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clients
clients: .venv/.test .venv/.node ## Generate a Python and a TypeScript client in clients
	mkdir -p $(CLIENTS)
	$(BIN)/charter openapi > $(CLIENTS)/openapi.json
	$(BIN)/python -m tools.client_config $(CLIENTS)/openapi.json > $(CLIENTS)/config.json
	$(TOOLS) openapi-python-client generate --path $(CLIENTS)/openapi.json --output-path $(CLIENTS)/python \
		--config $(CLIENTS)/config.json --overwrite --fail-on-warning --meta setup --custom-template-path clients/templates
	$(TOOLS) tests/node/node_modules/.bin/openapi-typescript $(CLIENTS)/openapi.json \
		--output $(CLIENTS)/typescript/charter.d.ts

.PHONY: migration
migration: .venv/.ruff ## Write the next migration from the tables; NAME=notes is required
	@$(BIN)/python -m tools.migration "$(NAME)"

CLIENTS := clients
TOOLS := PATH="$(abspath $(BIN)):$$PATH" RUFF_NO_CACHE=true

.PHONY: wheel
wheel: .venv/.run ## Build the wheel in dist
	@# setuptools packs every file in build, even if the source no longer has it.
	rm -rf build dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: freeze
freeze: .venv/.run ## Save the contract as the released one
	$(BIN)/charter openapi > openapi/.released.json
	mv openapi/.released.json openapi/released.json

.PHONY: lock
lock: .venv/.test ## Pin the newest versions of the Python dependencies
	$(BIN)/pip install --quiet uv==0.13.9
	$(BIN)/uv pip compile --quiet --upgrade setup.cfg --extra build $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade setup.cfg --extra build --extra dev $(LOCK) -c requirements.lock -o requirements-dev.lock
	for baseline in $(BASELINES:%=benchmarks/speed/baselines/%); do \
		$(BIN)/uv pip compile --quiet --upgrade $$baseline/requirements.in $(BASELINE_LOCK) -o $$baseline/requirements.txt || exit; done

BASELINE_LOCK := --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.PHONY: clean
clean: ## Remove the environment and all build results, but not the data folder
	rm -rf .venv build clients/config.json clients/openapi.json clients/python clients/typescript dist tests/node/node_modules *.egg-info

ANOTHER := Charter needs Python 3.11 or later. Name one: make run PYTHON=python3.13
UNWRITABLE := The folder .venv cannot be created. Use a clone that your user can write to, and a Python with the module venv.
OR_FAIL := || { echo "The installation failed. The first run needs the network. Run make again when it is available." >&2; exit 1; }
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Each file below marks a step as done. Make repeats the step if one of its dependencies is newer.

$(NEW):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed. $(ANOTHER)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d. $(ANOTHER)" % sys.version_info[:2])'
	@echo "Creating the Python environment .venv. This takes about 5 seconds."
	@$(PYTHON) -m venv --clear .venv || { echo "$(UNWRITABLE)" >&2; exit 1; }
	@touch $@

.venv/.run: requirements.lock setup.cfg pyproject.toml | $(NEW)
	@echo "Installing Charter and its dependencies in .venv. This takes 20 to 80 seconds, at the first run only."
	@$(PIP) --require-hashes -r requirements.lock $(OR_FAIL)
	@$(PIP) --no-deps --no-build-isolation -e . $(OR_FAIL)
	@touch $@

.venv/.test: requirements-dev.lock .venv/.run
	@echo "Installing the tools for tests in .venv. This takes one to three minutes, at the first run only."
	@$(PIP) --require-hashes -r requirements-dev.lock $(OR_FAIL)
	@touch $@

# A migration is formatted like all code. The other tools for tests are not necessary for it.
.venv/.ruff: requirements-dev.lock .venv/.run
	@echo "Installing ruff, which formats the migration. This takes about 5 seconds."
	@sed -n '/^ruff==/,/[^\\]$$/p' requirements-dev.lock | $(PIP) --require-hashes -r /dev/stdin $(OR_FAIL)
	@touch $@

.venv/bench/%/.installed: benchmarks/speed/baselines/%/requirements.txt | $(NEW)
	@echo "Installing $* in .venv/bench, to compare the speed with it. This takes up to a minute."
	@$(PYTHON) -m venv --clear .venv/bench/$*
	@.venv/bench/$*/bin/pip install --quiet --disable-pip-version-check -r $< $(OR_FAIL)
	@touch $@

.venv/.node: tests/node/package-lock.json .venv/.test
	@echo "Installing Node, a browser and the tools for clients. This takes one to three minutes."
	@cd tests/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --loglevel=error $(OR_FAIL)
	@touch $@
