# Everything a person or CI does with this project. Needs make and Python 3.11 or newer, nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
EXAMPLES := clients/examples
GRPC_CLIENTS := $(dir $(wildcard clients/*/Makefile))
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
FROM_LOCK := $(PIP_INSTALL) --require-hashes --only-binary :all:
# The router and its client. The wheels' builder comes from the lock as well, so pip need not fetch one of its own.
ITSELF := $(PIP_INSTALL) --no-deps --no-build-isolation --editable . --editable clients/python
UV_LOCK := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-build \
	--no-emit-index-url --no-emit-find-links --no-emit-package checkrein-client --no-annotate \
	--custom-compile-command "make lock" pyproject.toml
PROTOS := $(sort $(shell find protos -name "*.proto"))
# What may still change in any way; all other proto files only grow.
UNFROZEN := $(foreach name,approvals events workflow,--exclude-path protos/checkrein/v1/$(name).proto)
FREEZE = $(BIN)/buf build --exclude-source-info --as-file-descriptor-set $(UNFROZEN) --output $(1)
# Folders that hold generated files and nothing else.
STUBS := checkrein/v1 checkrein/admin
GENERATE = mkdir -p $(1) && $(BIN)/python -m grpc_tools.protoc --proto_path=protos --python_out=$(1) --pyi_out=$(1) \
	--grpc_python_out=$(1) $(PROTOS) && touch $(patsubst %,$(1)/checkrein/%/__init__.py,v1 admin admin/v1)
SOURCES := router tests clients load_tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run demo demo-real demo-race test test-clients clients-test check fmt lint types imports tidy proto stubs freeze lock bench bench-grpc faults load clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/dev.stamp  ## Set up .venv with everything that development needs

run: $(VENV)/run.stamp  ## Serve on http://127.0.0.1:8080 (ARGS="--config FILE --port N")
	$(BIN)/checkrein serve $(ARGS)

demo: $(VENV)/run.stamp  ## Stream one completion and show what the ledger recorded
	$(BIN)/python -m clients.examples.demo

demo-real: $(VENV)/real.stamp  ## The same through a small local model on this machine's CPU (installs about 250 MB)
	$(BIN)/python -m clients.examples.demo_real

demo-race: $(VENV)/dev.stamp  ## Race 200 callers for one budget, kill the router among them and check its ledger
	$(BIN)/python -m load_tests.demo_race

test: check  ## Run the checks and every test
	$(BIN)/python -m pytest tests

test-clients: $(VENV)/dev.stamp $(CLIENTS)/stamp $(EXAMPLES)/node_modules/stamp  ## Run unmodified clients against a router (makes an environment of 700 MB)
	TEST_CLIENTS_ENVIRONMENT=$(CLIENTS) $(BIN)/python -m pytest tests/clients

clients-test: $(VENV)/dev.stamp  ## Build the gRPC clients in other languages and run them (CLIENTS_INSTALL=1 as root: also what they need)
	@$(if $(CLIENTS_INSTALL),set -e; for client in $(GRPC_CLIENTS); do \
		$(MAKE) --silent -C $$client ready > /dev/null 2>&1 || $(MAKE) -C $$client install || echo "what $$client needs was not installed"; \
	done)
	TEST_CLIENTS_ENVIRONMENT=$(VENV) $(BIN)/python -m pytest tests/clients/test_grpc_clients.py

check: $(VENV)/dev.stamp lint types imports proto tidy  ## Run all that judges the code without running it

fmt: $(VENV)/dev.stamp  ## Format Python and proto files in place
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --quiet --fix $(SOURCES)
	$(BIN)/buf format --write

lint: $(VENV)/dev.stamp  ## Check format and lint
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/ruff check --quiet $(SOURCES)

types: $(VENV)/dev.stamp  ## Check types with mypy
	$(BIN)/mypy

imports: $(VENV)/dev.stamp  ## Check that imports run one way
	$(BIN)/lint-imports

tidy: $(VENV)/dev.stamp  ## Check what the style page promises: names, sizes, locks
	$(BIN)/python -m pytest --quiet tests/tidy -m "not slow"

proto: $(VENV)/dev.stamp  ## Check the proto files, that they break nobody, and that the stubs are theirs
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against protos/frozen.binpb
	@rm -rf build/protos && mkdir -p build/protos
	@$(call FREEZE,build/protos/frozen.binpb)
	@cmp build/protos/frozen.binpb protos/frozen.binpb || { echo "Something new is not frozen yet: make freeze"; exit 1; }
	@$(call GENERATE,build/protos)
	@$(foreach part,$(STUBS),diff --recursive --brief --exclude=__pycache__ build/protos/$(part) clients/python/$(part) &&) true \
	|| { echo "The stubs in clients/python are not those of the proto files: make stubs"; exit 1; }

stubs: $(VENV)/dev.stamp  ## Write the Python stubs of the proto files into clients/python
	rm -rf $(STUBS:%=clients/python/%)
	@$(call GENERATE,clients/python)

freeze: $(VENV)/dev.stamp  ## Freeze what was added to the proto files; refused where it breaks what was frozen before
	$(BIN)/buf breaking --against protos/frozen.binpb
	@$(call FREEZE,protos/frozen.binpb)

lock: $(VENV)/dev.stamp  ## Bring the hashed requirement locks up to date with pyproject.toml (needs the package registry)
	$(UV_LOCK) --extra dev --output-file requirements/dev.lock
	$(UV_LOCK) --constraint requirements/dev.lock --output-file requirements/run.lock
	$(UV_LOCK) --extra load --constraint requirements/dev.lock --output-file requirements/load.lock
	$(UV_LOCK) --extra real --constraint requirements/dev.lock --output-file requirements/real.lock
	$(UV_LOCK:pyproject.toml=) --group build --constraint requirements/dev.lock --output-file requirements/build.lock

bench: $(VENV)/dev.stamp  ## Measure what each step of a call costs
	$(BIN)/python -m load_tests.steps

bench-grpc: $(VENV)/dev.stamp  ## Measure what a call costs over gRPC, beside HTTP and a bare gRPC server (2 minutes, loopback)
	$(BIN)/python -m load_tests.grpc_bench

faults: $(VENV)/dev.stamp  ## Break providers under load and judge what callers notice (50 s, loopback only)
	$(BIN)/python -m load_tests.fault_bench

load: $(VENV)/load.stamp  ## Put a bounded load on a router of its own, loopback only
	$(BIN)/python -m load_tests.drive

clean:  ## Remove what was built; the environment stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# --- environments: one .venv, a stamp for each lock that was installed into it; .venv-clients for others' clients -------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.lock requirements/build.lock pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	$(FROM_LOCK) -r requirements/run.lock -r requirements/build.lock
	$(ITSELF)
	@touch $@

$(VENV)/dev.stamp $(VENV)/load.stamp $(VENV)/real.stamp: $(VENV)/%.stamp: requirements/%.lock requirements/build.lock pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	$(FROM_LOCK) -r requirements/$*.lock -r requirements/build.lock
	$(ITSELF)
	@touch $@

$(CLIENTS)/stamp: $(EXAMPLES)/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(EXAMPLES)/requirements.txt
	@touch $@

# Without npm the tests of Node's clients say that they are skipped.
$(EXAMPLES)/node_modules/stamp: $(EXAMPLES)/package.json
	@if command -v npm > /dev/null; then npm install --prefix $(EXAMPLES) --no-package-lock --no-audit --no-fund && touch $@; \
	else echo "SKIPPED: npm is not on this machine, so Node's clients are not tested"; fi
