# Two commands do all: `make demo` and `make test`. Bare `make` explains the rest.

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
PORT_BASE ?= 18000
IMAGE ?= localhost/meshproxy:dev
ARGS ?=
# Two workers suit small machines; the end-to-end tests measure time and must not starve.
TEST_WORKERS ?= 2

LOCK := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help demo test lint format unit bench load stalls resilience fire fuzz conformance clients image \
	image-test lock clean simulate soak scale scrape
.DELETE_ON_ERROR:

help:
	@echo "meshproxy: a service-mesh sidecar in Python. Needs make and Python 3.11+."
	@echo
	@echo "  make demo     four services behind sidecars, traffic, dashboards, ten lines to try"
	@echo "  make test     format, lint, types and every test; what CI runs"
	@echo
	@echo "  make bench    CPU per request beside Envoy, nginx, HAProxy and aiohttp (minutes)"
	@echo "  make load     locust scenarios with thresholds: mix, burst, failures, reload"
	@echo "  make scale    CPU per request by connections, routes and endpoints, with plots (minutes)"
	@echo "  make soak     five million requests with faults: does anything grow? (minutes)"
	@echo "  make stalls   slow, idle and greedy clients: what they cost the others (minutes)"
	@echo "  make resilience  upstreams killed, stopped, slow, overloaded: what callers feel (minutes)"
	@echo "  make fire     a thousand reloads, a hundred upgrades, workers killed: what is lost (minutes)"
	@echo "  make simulate  every balancer on a skewed fleet, in virtual time (seconds)"
	@echo "  make fuzz     a million mutated requests and answers against the data plane (minutes)"
	@echo "  make conformance  who takes what: bad requests through four proxies and to five servers"
	@echo "  make clients  the test suites of requests, httpie and Autobahn through the sidecar (minutes)"
	@echo "  make lint     ruff and mypy only;  make format  lets ruff rewrite the files"
	@echo "  make unit     the tests without the end-to-end ones (seconds)"
	@echo "  make image    build the container image with docker or buildah;  make image-test  tries it"
	@echo "  make lock     pin the dependencies of pyproject.toml anew"
	@echo "  make clean    remove the virtual environment and everything generated"
	@echo
	@echo "Each sets up $(VENV) first; run the proxy itself as $(VENV)/bin/meshproxy."
	@echo "Options: PYTHON=python3.12  PORT_BASE=28000 (demo)  ARGS='...' (demo, test, bench, load, stalls, fuzz)"

$(READY): requirements-dev.lock pyproject.toml .ci/venv
	@sh .ci/venv $(VENV)
	@touch $@

demo: $(READY)
	@$(PY) config/demo/demo.py --port-base $(PORT_BASE) $(ARGS)

test: lint
	@sh .ci/servers $(PY)
	$(PY) -m pytest -q -W error -n $(TEST_WORKERS) --dist loadfile $(ARGS)

unit: $(READY)
	$(PY) -m pytest -q -W error --ignore tests/e2e --ignore tests/chaos --ignore tests/conformance/differential $(ARGS)

lint: $(READY)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy --strict meshproxy
	MYPYPATH=config/demo $(PY) -m mypy --strict config/demo
	$(PY) -m mypy --strict config/container/trial.py config/compose/shop.py
	$(PY) -m mypy --strict loadtests

format: $(READY)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(READY)
	$(PY) -m loadtests.bench $(ARGS)

load: $(READY)
	$(PY) -m loadtests.load $(ARGS)

scale: $(READY)
	$(PY) -m loadtests.scale $(ARGS)

soak: $(READY)
	$(PY) -m loadtests.soak $(ARGS)

scrape: $(READY)
	$(PY) -m loadtests.scrape $(ARGS)

stalls: $(READY)
	$(PY) -m loadtests.stalls $(ARGS)

resilience: $(READY)
	$(PY) -m loadtests.resilience $(ARGS)

fire: $(READY)
	$(PY) -m loadtests.fire $(ARGS)

simulate: $(READY)
	$(PY) -m loadtests.balancers $(ARGS)

fuzz: $(READY)
	$(PY) -m tests.fuzz --inputs 1000000 $(ARGS)

conformance: $(READY)
	$(PY) -m tests.conformance.differential

clients: $(READY)
	$(PY) -m tests.clients $(ARGS)

image:
	@sh .ci/image $(IMAGE)

image-test:
	@python3 config/container/trial.py $(ARGS)

lock: $(READY)
	$(PY) -m pip install --quiet uv
	$(LOCK) pyproject.toml -o requirements.lock $(ARGS)
	@# hatchling asks for editables only while it installs a checkout in place, as .ci/venv does.
	echo editables | $(LOCK) --extra dev pyproject.toml - -o requirements-dev.lock $(ARGS)
	$(LOCK) --python-version 3.13 config/container/sbom.in -o config/container/sbom.lock

clean:
	rm -rf $(VENV) .clients build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
