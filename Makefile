# make demo          the whole pipeline on embedded data, in minutes
# make mini          the paper's claim on MNIST and FashionMNIST, in an hour, compared with reference results
# make rivals        later answers to the paper's question beside the paper's models, in an hour and a half, likewise
# make baselines     the paper's baselines that one core trains in hours, by their published protocol, likewise
# make figure        the shift figure from trained weights that are part of the project, in minutes, compared with our
#                    numbers; MIRROR=FOLDER has the archives of MNIST and FashionMNIST, if they must not be downloaded
# make report CONFIG=config/demo.yaml   one page, report.html, with the results of a configuration
# make tensorboard   the curves of all runs, also while they train: http://localhost:6006
# make bench         training steps compared with other implementations, in a quarter of an hour
# make bench-long    the same at all sizes, in hours
# make gpu-check     what to run first on a machine with a GPU: a page of checks and speeds
# make test          the tests
# make faults        the tests that cause faults, with the number of faults
# make test-slurm    the pipeline on a SLURM cluster, which it installs and starts (as root on Debian)
# make test-conda    the pipeline in its conda environments, from a local channel
# make lint          format, lint, types and links
# make clean         delete the environment
# Every target sets up what it needs. CORES=N limits the number of CPU cores. V=1 shows all that Snakemake says.

PYTHON ?= python3
CONFIG ?= config.yaml
NAME ?= rivals
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
# a panel of progress and, at an error, the log of the job
FLAGS = --cores $(CORES) $(if $(V),,--logger rich)

.PHONY: demo mini rivals baselines figure test faults test-slurm test-conda lint report tensorboard bench bench-long gpu-check clean

demo: .venv/complete
	$(BIN)/snakemake all $(FLAGS) --configfile config/demo.yaml

mini rivals baselines: .venv/complete
	$(BIN)/snakemake all $(FLAGS) --configfile config/$@.yaml
	$(BIN)/python workflow/scripts/compare_reference.py results/$@ \
		--reference resources/reference/$@ --out results/$@/tables

figure: .venv/complete
	$(BIN)/snakemake weights $(FLAGS) --configfile config/$(NAME).yaml \
		$(if $(MIRROR),--config 'data={mirror: "$(MIRROR)"}')
	$(BIN)/python workflow/scripts/compare_curves.py results/$(NAME)/weights --reference resources/reference/$(NAME)

test: .venv/complete
	$(BIN)/python -m pytest --numprocesses $(CORES)

test-slurm: .venv/complete
	tests/slurm/run.sh

faults: .venv/complete
	$(BIN)/python -m pytest --numprocesses $(CORES) -m fault

test-conda: .venv/complete
	-$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/conda/requirements.txt --constraint constraints.txt
	$(BIN)/python -m pytest -rs tests/conda/run.py

report: .venv/complete
	$(BIN)/snakemake all $(FLAGS) --configfile $(CONFIG) --report report.html

bench: .venv/complete benchmarks/peers
	$(BIN)/python benchmarks/bench.py $(SIZES) --out results/benchmarks
	$(BIN)/python benchmarks/plot_bench.py results/benchmarks --out figures/benchmarks
	cat figures/benchmarks/steps.md

bench-long: SIZES = --sides 16 32 48 64 96 --batches 1 8 32 --precisions float32 bf16
bench-long: bench

gpu-check: .venv/complete benchmarks/peers
	$(BIN)/python benchmarks/gpu_check.py --out results/gpu_check.md

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
	# the package, also where scripts may not find it beside themselves (PYTHONSAFEPATH)
	echo "$(CURDIR)/workflow/scripts" > $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth
	touch $@
