# The commands of this project; `make run` and `make test` need nothing done before.
.DEFAULT_GOAL := run
.PHONY: run test test-sqlite test-sqlite-harsh test-sqlite-rest test-postgres test-postgres-harsh \
	test-postgres-rest test-e2e test-alone check bench bench-quick screenshots lock clean

SHELL := /bin/sh
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# Compiled code is kept, also where the environment says not to: each test of a server or of a worker
# starts processes that would compile all of this project again.
export PYTHONDONTWRITEBYTECODE :=

# The program itself: the package's own wrapper hides its exit code.
COMPOSE = "$$($(BIN)/python -c 'import compose; print(compose.__path__[0])')/docker-compose"

# The second pass of the suite is about the database. Left out of it are
# - ecosystems, filters and frontend: they know no database (the import linter sees to that);
# - files of mirrorserver that use none in this process, or start a server on SQLite of their own;
# - the outages, whose servers are on SQLite, and the matrix and the odd values: thousands of
#   requests about what views answer, whose queries the other tests ask of both databases;
# - the documents, but for the examples that they give;
# - e2e, whose servers are on SQLite; test_conda.py starts one on PostgreSQL and Redis then.
ON_DATABASE := $(addprefix tests/mirrorserver/test_,log_redaction.py environment.py)
NO_DATABASE := tests/ecosystems tests/filters tests/frontend \
	tests/docs/test_configuration.py tests/docs/test_paths.py \
	tests/web/test_static_files.py tests/web/api/test_openapi.py tests/workers/test_shutdown.py \
	$(filter-out $(ON_DATABASE),$(wildcard tests/mirrorserver/test_*.py)) \
	$(filter-out %/test_generations.py,$(wildcard tests/mirrorserver/rsgi/test_*.py)) \
	$(addprefix tests/security/test_,outages.py matrix.py fuzz.py) \
	$(filter-out tests/e2e/test_conda.py,$(wildcard tests/e2e/test_*.py))

# Nothing of a test outlives it: its files lie in memory where 8 GB are free for them. The servers'
# users look for theirs in there.
ROOM := $(shell df --output=avail,target --block-size=G /dev/shm 2>/dev/null | \
	awk 'NR == 2 && $$1 + 0 >= 8 { print "--tmpdir=" $$2 }')
OWN_DATA = TMPDIR=$$(mktemp -d $(ROOM)) && export TMPDIR && trap 'rm -rf "$$TMPDIR"' EXIT && \
	chmod 711 "$$TMPDIR" && DATA=$$TMPDIR/data && export DATA && mkdir -m 700 "$$DATA" &&
ON_SQLITE = $(OWN_DATA) env -u DATABASE_URL -u REDIS_URL $(BIN)/pytest --durations=15
ON_POSTGRES = $(OWN_DATA) $(BIN)/python tools/services.py $(BIN)/pytest --durations=15

run: .venv/run.stamp
	@exec $(BIN)/python manage.py serve

# Tests that hold clients to a time: they have the machine for themselves.
ALONE := tests/security/test_outages.py

# Every check and the suite twice: on SQLite with the embedded broker, and on PostgreSQL with Redis.
# Each pass is in two halves; the tests in a browser are a part of their own. Three parts run at a
# time, because tests often wait for something, and the longest first, so that none is left alone.
# Each has a DATA folder of its own; what each prints comes when it is over.
test: .venv/dev.stamp
	tools/check_tools.sh
	$(MAKE) --no-print-directory check
	$(MAKE) --no-print-directory --jobs=3 --output-sync=target \
		test-sqlite-harsh test-sqlite-rest test-postgres-harsh test-postgres-rest test-e2e
	$(MAKE) --no-print-directory test-alone

# The half of a pass that is about faults and attacks; the other half is all the rest.
HARSH := tests/faults tests/security

test-sqlite: test-sqlite-harsh test-sqlite-rest

test-sqlite-harsh: .venv/dev.stamp
	@echo "On SQLite and the embedded broker, faults and attacks:"
	$(ON_SQLITE) $(HARSH) $(addprefix --ignore=,$(ALONE))

test-sqlite-rest: .venv/dev.stamp
	@echo "On SQLite and the embedded broker, the rest:"
	$(ON_SQLITE) $(addprefix --ignore=,$(HARSH) tests/e2e)

test-e2e: .venv/dev.stamp
	@echo "On SQLite, in a browser:"
	$(ON_SQLITE) tests/e2e

test-alone: .venv/dev.stamp
	@echo "On SQLite, one thing at a time:"
	$(ON_SQLITE) $(ALONE)

test-postgres: test-postgres-harsh test-postgres-rest

test-postgres-harsh: .venv/dev.stamp
	@echo "On PostgreSQL and Redis, faults and attacks:"
	$(ON_POSTGRES) $(HARSH) $(addprefix --ignore=,$(NO_DATABASE))

test-postgres-rest: .venv/dev.stamp
	@echo "On PostgreSQL and Redis, the rest:"
	$(ON_POSTGRES) $(addprefix --ignore=,$(HARSH) $(NO_DATABASE))

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	DATA=$$(mktemp -d) && export DATA && trap 'rm -rf "$$DATA"' EXIT && \
	$(BIN)/python manage.py check && \
	PUBLIC_URL=https://mirror.example.org $(BIN)/python manage.py check --deploy --fail-level WARNING && \
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/hadolint Dockerfile
	POSTGRES_PASSWORD=check $(COMPOSE) config --quiet

# Everything, in some minutes; `make bench-quick` is the one for every day.
bench: .venv/dev.stamp
	$(BIN)/python -m bench $(BENCH)

bench-quick: .venv/dev.stamp
	$(BIN)/python -m bench --quick

# Every page, light, dark and narrow, into var/screenshots.
screenshots: .venv/dev.stamp
	$(BIN)/python tools/screenshots.py

# Exact versions with hashes, from the ranges in the .txt files.
lock: .venv/dev.stamp
	$(COMPILE) --output-file requirements.lock requirements.txt
	$(COMPILE) --constraint requirements.lock --output-file requirements-dev.lock requirements-dev.txt
	$(COMPILE) --output-file requirements-services.lock requirements-services.txt

# Everything that was made here, except what the server keeps in var/.
clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@tools/venv.sh

.venv/run.stamp: requirements.lock | .venv/bin/python
	@echo "Installing what the server runs on ..."
	@$(INSTALL) requirements.lock
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/run.stamp
	@echo "Installing what the tests and checks need ..."
	@$(INSTALL) requirements-dev.lock
	@touch $@
