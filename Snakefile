import os
import sys
from pathlib import Path
from shlex import quote

# jobs run this interpreter; a conda environment comes before it on the path when it is activated
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
# glibc would give the memory of every training step back and fetch it again, a twelfth of a small model's time
os.environ.update(MALLOC_MMAP_THRESHOLD_="1073741824", MALLOC_TRIM_THRESHOLD_="4294967296")
sys.path.insert(0, str(Path(workflow.basedir) / "workflow/scripts"))

from snakemake.utils import min_version, validate

from relative_performer import grid, names
from relative_performer.checks import read_yaml
from relative_performer.cli import UserError
from relative_performer.sources import sources

min_version("9.0")

# a file given by --configfile that has experiments stands alone
if "experiments" not in config:

    configfile: "config.yaml"


try:
    for path in workflow.configfiles:
        read_yaml(Path(path))  # snakemake itself takes the last of two equal keys
    grid.check_config(config)
    validate(config, grid.SCHEMA)
    RUNS = grid.expand(config)
except UserError as error:
    sys.exit(f"error in the configuration: {error}")

NAME = config["name"]
DATA = config["data"]["path"]
RESULTS = f"results/{NAME}"
FIGURES = f"figures/{NAME}"
DATASETS = [name for name in names.DATASETS if any(run["dataset"] == name for run in RUNS.values())]
# CIFAR10 has no black border to shift into
SHIFTED = [name for name in DATASETS if name != "CIFAR10"]


report: "workflow/report/workflow.rst"


# with --sdm apptainer alone; built from Containerfile by whoever runs it, since no image is published
container: "container.sif"


wildcard_constraints:
    dataset="|".join(names.DATASETS),
    model="|".join(names.MODELS),
    experiment=r"[^/]+",
    run=r"[^/]+",


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/test.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/equivariance.smk"
include: "workflow/rules/published.smk"


# prints to the terminal and makes no file, so that it can be asked again
rule plan:
    input:
        configs=workflow.configfiles,
    log:
        f"{RESULTS}/logs/plan.log",
    conda:
        "envs/train.yaml"
    threads: os.cpu_count()  # or fewer, as --cores says
    message:
        "time a step of every model"
    shell:
        "python workflow/scripts/plan.py {input.configs} --threads {threads} 2> {log}"


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,


# on a cluster only these are jobs of the scheduler; the others take seconds, or fetch data, and run where snakemake runs
workflow.localrules(*{rule.name for rule in workflow.rules} - {"train", "test", "test_shifted", "measure_equivariance"})


onsuccess:
    targets = [*rules.figures.input, *rules.tables.input, *rules.published.input]
    made = [path for path in targets if Path(path).exists()]
    print("Open these:", *(path for path in made if path.endswith((".png", ".md"))), sep="\n  ")
