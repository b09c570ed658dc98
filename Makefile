# make demo          the whole pipeline on embedded data, in minutes
# make mini          the paper's claim on MNIST and FashionMNIST, in an hour, compared with reference results
# make report CONFIG=config/demo.yaml   one page, report.html, with the results of a configuration
# make tensorboard   the curves of all runs, also while they train: http://localhost:6006
# make bench         training steps compared with other implementations, at all sizes
# make test          the tests
# make faults        the tests that cause faults, with the number of faults
# make test-slurm    the pipeline on a SLURM cluster, which it installs and starts (as root on Debian)
# make test-conda    the pipeline in its conda environments, from a local channel
# make lint          format, lint, types and links
# make clean         delete the environment
# Every target sets up what it needs. CORES=N limits the number of CPU cores.

PYTHON ?= python3
CONFIG ?= config.yaml
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin

.PHONY: demo mini test faults test-slurm test-conda lint report tensorboard bench clean

demo: .venv/complete
	$(BIN)/snakemake all --cores $(CORES) --configfile config/demo.yaml

mini: .venv/complete
	$(BIN)/snakemake all --cores $(CORES) --configfile config/mini.yaml
	$(BIN)/python workflow/scripts/compare_reference.py results/mini \
		--reference resources/reference/mini --out results/mini/tables

test: .venv/complete
	$(BIN)/python -m pytest

test-slurm: .venv/complete
	tests/slurm/run.sh

faults: .venv/complete
	$(BIN)/python -m pytest -m fault

test-conda: .venv/complete
	-$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/conda/requirements.txt --constraint constraints.txt
	$(BIN)/python -m pytest -rs tests/conda/run.py

report: .venv/complete
	$(BIN)/snakemake all --cores $(CORES) --configfile $(CONFIG) --report report.html

bench: .venv/complete benchmarks/peers
	$(BIN)/python benchmarks/bench.py --threads $(CORES) --out results/benchmarks
	$(BIN)/python benchmarks/plot_bench.py results/benchmarks --out figures/benchmarks

benchmarks/peers: benchmarks/requirements.txt .venv/complete
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $@ --requirement $<
	touch $@

tensorboard: .venv/complete
	$(BIN)/tensorboard --logdir results

lint: .venv/complete
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --configfile config/demo.yaml
	$(BIN)/python tests/check_links.py
	$(BIN)/hadolint Containerfile

clean:
	rm -rf .venv

.venv/complete: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: $(PYTHON) is missing or older than 3.11: install Python 3.11 or newer, or name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@echo "setting up .venv (once, some minutes: torch is large)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt --constraint constraints.txt
	touch $@
