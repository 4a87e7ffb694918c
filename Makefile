# The commands of this repository; `make help` lists them.
SHELL := /bin/bash
BIN := .venv/bin
WORLD := demo-world
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/server.stamp ## Tell the main job on real data in a minute; the world stays in demo-world
	@$(BIN)/marketplace demo --keep $(WORLD)

serve: $(WORLD)/tokens/squad_member ## Serve the demo's world and say where and how to get in
	@$(BIN)/marketplace serve --data $(WORLD)

install: .venv/dev.stamp ## Install what the tests and checks need, and run nothing

test: .venv/dev.stamp ## Run every test
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -q

thorough: .venv/dev.stamp ## Run the properties on all of their examples, which takes minutes more
	@MARKETPLACE_TESTS_THOROUGH=1 $(BIN)/pytest -n 2 --dist loadfile -q $$(grep -rlE 'examples\([0-9]' tests)

static: .venv/dev.stamp ## Check form, lint, types, imports and spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

check: static demo test ## Everything that CI runs

bench: .venv/dev.stamp ## Measure against DuckDB in-process, part by part; ONLY=tpch,latency: some of them
	@$(BIN)/python tests/bench/run.py $(if $(ONLY),--only $(ONLY)) $(if $(CHECK),--check)

oracle: .venv/dev.stamp ## Ask the decision point and a naive evaluator the same; COUNT=100000 of it
	@$(BIN)/python -m tests.oracle.run $(or $(COUNT),100000)

lock: ## Pin every dependency again with its hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra server --extra build pyproject.toml -o requirements/server.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra server --extra build --extra dev -c requirements/server.txt \
	  pyproject.toml -o requirements/dev.txt

clean: ## Remove the environment, the demo's world and everything built
	rm -rf .venv build dist $(WORLD) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# A target's stamp is newer than what it was installed from, so that a second `make` installs nothing.
.venv/server.stamp: requirements/server.txt pyproject.toml | $(BIN)/python
	@echo "Installing the service's $$(grep -c == $<) pinned packages into .venv (once, about a minute) ..."
	@$(PIP) install --require-hashes -r $<
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# All that the service needs is among what the tests need, so a fresh clone is installed into once.
# Python compiles each module when it is first imported; most of these never are.
.venv/dev.stamp: requirements/dev.txt requirements/server.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the tests and checks need: $$(grep -c == $<) pinned packages in all ..."
	@$(PIP) install --no-compile --require-hashes -r $<
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch .venv/server.stamp $@

$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating .venv with $$("$$python" --version)"; \
	    exec "$$python" -m venv .venv; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python" >&2; \
	exit 1

$(WORLD)/tokens/squad_member: | .venv/server.stamp
	@$(BIN)/marketplace demo --keep $(WORLD)

.PHONY: help demo serve install test thorough static check bench oracle lock clean
