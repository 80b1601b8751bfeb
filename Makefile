# make demo            five tasks on this machine: progress, results, the replayed history
# make test            all tests that need no cluster
# make check           lint, format, types
# make test-clusters   tests on real schedulers and servers, started here (root on Debian; SCHEDULER=name for one:
#                      pbs, torque, lsf, fugaku and jh_unischeduler are yours when their commands are on PATH)
# make bench           benchmarks: ratios and counts
# make soak N=20000    the simulation over many seeds, and N/200 of them in the words of each batch system
# make fuzz SECONDS=60 fuzzing led by coverage, each of three parsers for so long (Linux)
# make golden          accept what the code now makes as the golden files; review the diff
# make diagram         put the current table of states into README.md
# make dist            build and try the wheel

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
N ?= 20000
SECONDS ?= 60
SCHEDULER ?=

.PHONY: demo test check test-clusters bench soak fuzz golden diagram dist clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/python fixtures/demo/run.py

test: $(READY)
	fixtures/bin/need shellcheck
	$(BIN)/python -m pytest -n auto -m 'not cluster'

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-clusters: $(READY)
	fixtures/bin/need bindfs
	SCHEDULER=$(SCHEDULER) $(BIN)/python -m pytest tests/clusters tests/contexts tests/crash -m cluster --durations 10 \
	  --timeout 900 $(if $(SCHEDULER),-k $(SCHEDULER),-n auto --dist loadgroup)

bench: $(READY)
	$(BIN)/python tests/benchmarks/journal_bench.py
	$(BIN)/python tests/benchmarks/engine_bench.py

soak: $(READY)
	$(BIN)/python -m dispatcher.testing.simulation --seeds $(N)
	for name in PBS Torque SGE Slurm LSF JH_UniScheduler Fugaku; do \
	  $(BIN)/python -m dispatcher.testing.simulation --dialect $$name --seeds $$(($(N) / 200)) || exit 1; done

fuzz: $(READY)
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	for what in answers archives journals; do $(BIN)/python tests/fuzz/guided.py $$what $(SECONDS) || exit 1; done

golden: $(READY)
	$(BIN)/python -m pytest --golden tests/test_script.py tests/cli tests/schedulers
	git --no-pager diff --stat -- fixtures tests

diagram: $(READY)
	$(BIN)/python tests/test_readme.py

dist: $(READY)
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis demo
