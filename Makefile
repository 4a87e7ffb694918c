# The commands of this repository; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin

.DEFAULT_GOAL := help

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

lock: ## Pin every dependency again with its hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra server --extra build pyproject.toml -o requirements/server.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra server --extra build --extra dev -c requirements/server.txt \
	  pyproject.toml -o requirements/dev.txt

.PHONY: help lock
