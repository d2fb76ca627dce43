# `make help` reads this file. PYTHON names the interpreter that the environment is made with (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help up down test test-go lint format docs bench lock wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(RUN_STAMP) ## Install into .venv, start the sandbox, show the first injected header
	@$(BIN)/sandbox up

down: ## End the sandbox; nothing is left, keys and logs included
	@test ! -x $(BIN)/sandbox || $(BIN)/sandbox down --volumes

test: $(DEV_STAMP) test-go ## Run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

test-go: $(DEV_STAMP) ## Run the filter's tests: as Go, in the TinyGo module, in the Go module
	cd filter && GOTOOLCHAIN=local GOFLAGS= ../$(BIN)/go vet ./... && GOTOOLCHAIN=local GOFLAGS= ../$(BIN)/go test ./...

lint: $(DEV_STAMP) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	@unformatted=$$($$($(BIN)/go env GOROOT)/bin/gofmt -l filter benchmarks sandbox/templates); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }

format: $(DEV_STAMP) ## Format the Python and the Go code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$$($(BIN)/go env GOROOT)/bin/gofmt -w filter benchmarks sandbox/templates

docs: $(DEV_STAMP) ## Write what the documents take from the code
	$(BIN)/python docs/generate.py

bench: $(DEV_STAMP) ## Measure; ratios of interleaved runs
	$(BIN)/python -m benchmarks

lock: $(DEV_STAMP) ## Resolve the requirements anew, with hashes and without download addresses
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
	  --custom-compile-command 'make lock' --extra checkout --output-file requirements/run.txt --upgrade
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
	  --custom-compile-command 'make lock' --extra dev --output-file requirements/dev.txt --constraint requirements/run.txt
	$(BIN)/uv pip compile --group pyproject.toml:image --universal --python-version 3.13 --generate-hashes --no-annotate --quiet \
	  --custom-compile-command 'make lock' --output-file requirements/image.txt --constraint requirements/run.txt

wheel: $(DEV_STAMP) ## Build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

clean: ## Remove the environment and everything built
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with PYTHON=")'
	$(PYTHON) -m venv $(VENV)

# The development environment holds the other one: whoever ran `make test` need not install again for `make up`.
$(RUN_STAMP): requirements/run.txt pyproject.toml | $(VENV)/bin/pip
	@echo "Installing into $(VENV); to type sandbox alone later: . $(VENV)/bin/activate"
	@test -e $(DEV_STAMP) && test $(DEV_STAMP) -nt requirements/run.txt || $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements/dev.txt pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
