# Everything a person or CI runs. A fresh machine needs Python >= 3.11, make and git; uv comes by itself.

PYTHON ?= python3
UV_VERSION := 0.13.8
OWN_UV := .uv/bin/uv
# the machine's uv where it works, our own pinned one where it doesn't
UV ?= $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(OWN_UV))
# the machine's certificates, as pip and git use them: a company's proxy has its own
export UV_SYSTEM_CERTS ?= true
RUN := $(UV) run --frozen --no-sync
SYNCED_TO_RUN := .venv/.synced-to-run
SYNCED := .venv/.synced
SYNCED_FOR_TESTS := .venv/.synced-for-tests
LOCK := pyproject.toml uv.lock
NODE_MODULES := tests/e2e/node_modules/.package-lock.json
SERVERS_APART := $(wildcard tests/e2e/servers/*/uv.lock)

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint format types layers bench wheel check clean

help:
	@echo "make demo    set up, and show the shim at work: no network, no account"
	@echo "make test    set up, with the real servers and clients, and run the tests"
	@echo "make lint    ruff: rules and format        make format  put the format right"
	@echo "make types   mypy, strict                  make layers  imports go down only"
	@echo "make bench   what the shim costs           make check   all of these but demo, bench and soak"
	@echo "make soak    tokens that live five seconds, for ten minutes: no call may fail"
	@echo "make wheel   dist/, to install from        make clean   remove what these made"

demo: $(SYNCED_TO_RUN)
	@$(RUN) mcpwrap demo

soak: $(SYNCED_FOR_TESTS)
	@echo "soak: tokens of five seconds, five minutes of calls in each protocol family" >&2
	@MCPWRAP_SOAK_S=300 $(RUN) pytest -s tests/delivery/test_lifetimes.py $(PYTEST_ARGS)

test: $(SYNCED_FOR_TESTS) $(NODE_MODULES)
	@echo "tests: running" >&2
	@$(RUN) pytest $(PYTEST_ARGS)

lint: $(SYNCED)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

format: $(SYNCED)
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

types: $(SYNCED_FOR_TESTS)
	@$(RUN) mypy

layers: $(SYNCED)
	@$(RUN) lint-imports

bench: $(SYNCED)
	@$(RUN) python -m bench $(BENCH_ARGS)

check: lint types layers test

$(OWN_UV):
	@echo "set-up: uv is missing, installing uv $(UV_VERSION) into .uv" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'error: `$(PYTHON)` is older than Python 3.11' >&2; \
	  echo 'hint: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 2; }
	@$(PYTHON) -m venv .uv || { \
	  echo 'error: `$(PYTHON) -m venv` failed' >&2; \
	  echo 'hint: on Debian and Ubuntu: apt install python3-venv' >&2; exit 2; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# `uv` is a prerequisite only where it is our own
$(SYNCED_TO_RUN): $(LOCK) $(filter $(OWN_UV),$(UV))
	@echo "set-up: installing mcpwrap and what it needs into .venv" >&2
	@$(UV) sync --frozen --inexact --quiet --no-default-groups
	@touch $@

$(SYNCED): $(LOCK) $(filter $(OWN_UV),$(UV))
	@echo "set-up: installing the locked dependencies into .venv" >&2
	@$(UV) sync --frozen --inexact --quiet
	@touch $(SYNCED_TO_RUN) $@

$(SYNCED_FOR_TESTS): $(LOCK) $(filter $(OWN_UV),$(UV))
	@echo "set-up: installing the locked dependencies, real servers and node into .venv" >&2
	@$(UV) sync --frozen --inexact --quiet --group e2e
	@touch $(SYNCED_TO_RUN) $(SYNCED) $@

# Without the real parts their tests are skipped on a laptop and fail in CI; tests/e2e/install.py says why.
$(NODE_MODULES): tests/e2e/package.json tests/e2e/package-lock.json $(SERVERS_APART) tests/e2e/install.py $(SYNCED_FOR_TESTS)
	@echo "set-up: installing the real servers and clients of tests/e2e (about 750 MB, once)" >&2
	@$(RUN) python tests/e2e/install.py

wheel: $(filter $(OWN_UV),$(UV))
	@$(UV) build --wheel --quiet --out-dir dist
	@ls dist/*.whl

clean:
	rm -rf .venv .uv .cache dist build tests/e2e/node_modules tests/e2e/servers/*/.venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
