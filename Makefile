# The two commands: `make run` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DELETE_ON_ERROR:
.PHONY: run test test-postgresql browser screenshots lint
.PHONY: bench bench-latency bench-crowd bench-imaging bench-ledger bench-load torture soak format lock clean

run: $(VENV)/.run  ## serve on 127.0.0.1:8000
	$(BIN)/python -m app serve $(ARGS)

test: $(VENV)/.dev browser  ## the whole suite
	$(BIN)/python -m pytest $(ARGS)

test-postgresql: $(VENV)/.dev browser  ## the same on a PostgreSQL server of its own, which a wheel brings
	VISION_PROXY_TEST_DATABASE=postgresql $(BIN)/python -m pytest $(ARGS)

browser:  ## Debian's Chromium for the tests of the pages; where it cannot be had, they say so and are skipped
	-@command -v chromium >/dev/null || $(AS_ROOT) sh -c 'apt-get update -qq && apt-get install -qq -y chromium'
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo -n)

screenshots: $(VENV)/.dev browser  ## the pictures of the documents, drawn anew
	DRAW_INTO=docs/images $(BIN)/python -m pytest -n 0 tests/browser/test_screenshots.py

lint: $(VENV)/.dev  ## linter, formatter, types, import contracts, dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/deptry .

bench: bench-latency bench-crowd bench-imaging bench-load bench-ledger  ## everything below, in one run of a quarter of an hour

bench-latency: $(VENV)/.dev bench/.litellm/.done  ## added latency: direct, through this and through LiteLLM; loopback only
	PYTHONPATH=. $(BIN)/python bench/latency.py $(ARGS)

bench/.litellm/.done: bench/litellm.lock
	$(PYTHON) -m venv bench/.litellm
	-bench/.litellm/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bench/litellm.lock
	touch $@

bench-crowd: $(VENV)/.dev bench/.litellm/.done  ## 64 clients, an upstream of 200 ms: requests a second beside LiteLLM's; loopback only
	PYTHONPATH=. $(BIN)/python bench/crowd.py

bench-load: $(VENV)/.dev  ## many large photographs at once: throughput, memory, health; loopback only
	PYTHONPATH=. $(BIN)/python bench/load.py

torture: $(VENV)/.dev  ## abuse and faults, each in turn on a real service; loopback only, bounded
	PYTHONPATH=. $(BIN)/python -m torture $(ARGS)

soak: $(VENV)/.dev  ## ten minutes at full load with faults injected; loopback only
	PYTHONPATH=. $(BIN)/python -m torture.soak $(ARGS)

bench-ledger: $(VENV)/.dev  ## pairs of reserve and settle on SQLite and PostgreSQL; files of this machine
	PYTHONPATH=. $(BIN)/python bench/ledger.py

bench-imaging: $(VENV)/.dev  ## pixel work beside Pillow, libvips and, where npm is, sharp; no network once installed
	-@command -v npm >/dev/null && npm ci --prefix bench/sharp --ignore-scripts --no-audit --no-fund --silent
	PYTHONPATH=. $(BIN)/python bench/imaging.py $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:  ## write both lock files anew; they name no index and no host
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build --group dev -o requirements-dev.lock
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vision-proxy needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(call install,requirements.lock)
	touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(call install,requirements-dev.lock)
	touch $@ $(VENV)/.run

define install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endef
