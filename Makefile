# Everything a person types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$name" && break; done)
UV := .uv/bin/uv
BIN := .venv/bin
# models are compiled against an empty warehouse in memory: a night may run meanwhile
SQLFLUFF := CROSSREC_DBT_WAREHOUSE=:memory: DBT_TARGET_PATH=$(CURDIR)/var/lint/target DBT_LOG_PATH=$(CURDIR)/var/lint/logs $(BIN)/sqlfluff
# three processes on two cores: a test that waits for a server, a lock or a retry leaves its core to another
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder
# bytecode written once here saves every later process seconds; some machines forbid it by default
export PYTHONDONTWRITEBYTECODE :=
export UV_COMPILE_BYTECODE := 1

help: ## List every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

nightly: setup ## Run one whole night on the demo platforms; DATE=2000-12-15 chooses the night
	@$(BIN)/crossrec nightly $(if $(DATE),--date $(DATE))

test: setup ## Run all tests: some twenty minutes on two cores
	@$(PYTEST)

test-fast: setup ## Run the tests that need no dbt, no whole night and no long training: two minutes
	@$(PYTEST) -m "not (dbt or e2e or slow)"

lint: setup ## Run every linter: ruff, mypy, import-linter, dbt descriptions, sqlfluff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m infra.dbt_descriptions
	@$(MAKE) -s lint-sql

lint-sql: setup ## Run sqlfluff over the dbt models
	@$(SQLFLUFF) lint -q dbt_project

format: setup ## Let ruff and sqlfluff mend what they can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(SQLFLUFF) fix -q dbt_project

up: setup ## Run Airflow's scheduler and UI and MLflow's UI until Ctrl-C
	@$(BIN)/crossrec up

doctor: setup ## Check the installation and every connection
	@$(BIN)/crossrec doctor

bench: setup ## Measure a first and a second night and the model; writes docs/benchmarks
	@$(BIN)/python -m tests.bench

bench-identity: setup ## Measure how well, how fast and in how much memory accounts are linked
	@$(BIN)/python -m tests.bench.identity

bench-ranking: setup ## Measure the ranker beside simple methods over six nights a week apart
	@$(BIN)/python -m tests.bench.ranking

bench-movielens: setup ## Measure the ranker on MovieLens-1M by itself, as papers do: lists, and clicks
	@$(BIN)/python -m tests.bench.movielens

bench-gates: setup ## Corrupt the platforms in more than a hundred ways, and count what the gates catch; hours
	@$(BIN)/python -m tests.bench.gates

bench-scale: setup ## Measure two nights on generated platforms of 1, 3, 10 and 30 million events, step by step; hours
	@$(BIN)/python -m tests.bench.scale

dbt-docs: setup ## Show the dbt project as a site: models, columns, lineage; PORT=8088 chooses the port
	@cd dbt_project && ../$(BIN)/dbt docs generate --quiet && ../$(BIN)/dbt docs serve --host 127.0.0.1 --port $(or $(PORT),8088) --no-browser

docs: setup ## Generate docs/settings.md and docs/benchmarks.md
	@$(BIN)/crossrec settings > docs/settings.md
	@$(BIN)/python -m tests.bench --render

lock: $(UV) ## Resolve requirements.lock again from pyproject.toml
	@$(UV) pip compile pyproject.toml --group demo --group dev --all-extras --universal --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --upgrade -q -o requirements.lock

clean: ## Remove everything a night made (var/); the environment stays
	rm -rf var

setup: .venv/.ready ## Install uv and the locked environment into this folder

.venv/.ready: requirements.lock pyproject.toml | $(UV)
	@echo "installing the locked environment (about a minute the first time)"
	@test -x $(BIN)/python || $(UV) venv -q --python "$(PYTHON)" .venv
	@$(UV) pip sync -q --require-hashes requirements.lock
	@$(UV) pip install -q --no-deps -e .
	@touch $@

$(UV):
	@test -n "$(PYTHON)" || { echo "crossrec needs Python 3.11, 3.12 or 3.13. Received: $$(python3 --version 2>&1 || echo none)."; \
		echo "Install one of them, or name it: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@"$(PYTHON)" -m venv .uv >/dev/null || { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; rm -rf .uv; exit 1; }
	@.uv/bin/pip install -q --disable-pip-version-check uv==0.13.9

.PHONY: help nightly test test-fast lint lint-sql format up doctor bench bench-identity bench-ranking bench-movielens bench-gates bench-scale dbt-docs docs lock clean setup
