# make demo            five tasks on this machine: progress, results, the replayed history
# make check           lint, format, types
# make quick           the tests of rules, dialects, schema, scripts and shape: under a minute
# make test            all tests that need no cluster
# make test-clusters   tests on real schedulers and servers, started here (root on Debian; SCHEDULER=name for one:
#                      pbs, torque, lsf, fugaku and jh_unischeduler are yours when their commands are on PATH)
# make test-all        both, with every count and seed at full size (pytest --full)
# make lowest          the quick tests at the lowest versions of the dependencies that pyproject.toml allows
# make smoke           build the wheel, install it in a clean environment elsewhere, submit and replay with it
# make bench           benchmarks: ratios and counts, beside DPDispatcher in an environment of its own
# make performance     the pictures of docs/performance.md from docs/performance/results.json
# make soak N=20000    the simulation over many seeds, and N/200 of them in the words of each batch system
# make fuzz SECONDS=60 fuzzing led by coverage, each of eight readers for so long (Linux)
# make golden          accept what the code now makes as the golden files; review the diff
# make reference       make the pages of docs/reference anew from the code
# make pictures        make docs/pictures anew from a real run
# make docs            build the site of docs/ in build/site; a warning is an error
# make diagram         put the current table of states into README.md
# make dist            build the wheel

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
N ?= 20000
SECONDS ?= 60
SCHEDULER ?=
FULL ?=
# Twice as many as the smallest machine has cores: half of the time of the tests is waiting.
WORKERS ?= 4
QUICK := -m 'not slow and not cluster'
LOWEST := build/lowest

.PHONY: pictures demo check quick test test-clusters test-all lowest smoke bench performance soak fuzz golden reference docs \
  diagram dist clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/python fixtures/demo/run.py

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

quick: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) $(QUICK)

test: $(READY)
	fixtures/bin/need shellcheck chromium tmux
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not cluster' $(FULL)

test-clusters: $(READY)
	fixtures/bin/need bindfs
	SCHEDULER=$(SCHEDULER) $(BIN)/python -m pytest tests/clusters tests/contexts tests/crash -m cluster --durations 10 \
	  --timeout 900 $(if $(SCHEDULER),-k $(SCHEDULER),-n auto --dist loadgroup) $(FULL)

test-all:
	$(MAKE) test test-clusters FULL=--full

lowest: $(READY)
	rm -rf $(LOWEST)
	$(BIN)/uv venv --quiet --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(LOWEST) --extra gui --extra report --extra top --output-file $(LOWEST)/versions pyproject.toml
	$(BIN)/uv pip install --quiet --python $(LOWEST) --constraint $(LOWEST)/versions --editable '.[test,gui,report,top]'
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) $(QUICK)

smoke: $(READY)
	fixtures/bin/smoke $(BIN)/python

bench: $(READY)
	$(BIN)/python tests/benchmarks/journal_bench.py
	$(BIN)/python tests/benchmarks/engine_bench.py
	$(BIN)/python tests/benchmarks/compare_bench.py build/bench/results.json

performance: $(READY)
	$(BIN)/python tests/benchmarks/performance.py docs/performance/results.json docs/performance

soak: $(READY)
	$(BIN)/python -m tests.simulation.simulation --seeds $(N)
	$(BIN)/python -m tests.simulation.simulation --neighbours --seeds $(N) --processes 2
	for name in PBS Torque SGE Slurm LSF JH_UniScheduler Fugaku; do \
	  $(BIN)/python -m tests.simulation.simulation --dialect $$name --seeds $$(($(N) / 200)) || exit 1; done

fuzz: $(READY)
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	for what in answers archives journals records claims listings receipts bodies; do $(BIN)/python tests/fuzz/guided.py $$what $(SECONDS) || exit 1; done

golden: $(READY)
	$(BIN)/python -m pytest --golden tests/scripts/test_render.py tests/cli tests/schedulers
	git --no-pager diff --stat -- fixtures tests

reference: $(READY)
	$(BIN)/python -m tests.docs.reference

pictures: $(READY)
	fixtures/bin/need chromium
	$(BIN)/python fixtures/pictures.py

docs: $(READY)
	$(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --quiet

diagram: $(READY)
	$(BIN)/python tests/test_readme.py

dist: $(READY)
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis demo
