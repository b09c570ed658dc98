import json
import os
import sys
import time
from pathlib import Path
from shlex import join as joined, quote

# jobs run this interpreter, unless a conda environment is activated
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
# threads that wait sleep, so that jobs beside each other, or beside other work, do not slow each other
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# of this file, whatever folder the pipeline runs in
PROJECT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve()
sys.path.insert(0, str(PROJECT / "workflow/scripts"))
# for the commands of the rules; PYTHONPATH, since PYTHONSAFEPATH may be set
os.environ.update(
    SCRIPTS=sys.path[0], PYTHONPATH=os.pathsep.join([sys.path[0], os.getenv("PYTHONPATH", "")]).rstrip(":")
)

from snakemake.persistence.file import FilePersistence
from snakemake.utils import min_version, validate

from relative_performer.config.grid import arguments, expand as expand_experiments, figure_folders
from relative_performer.config.validate import SCHEMA, check_config, parse_nested, read_yaml
from relative_performer.data import DATASETS as ALL_DATASETS
from relative_performer.errors import UserError
from relative_performer.files import checksum_if_there
from relative_performer.models import MODELS
from relative_performer.runs import code
from relative_performer.runs.provenance import dataset_facts, mark_changed_runs, recorded_checksum
from relative_performer.runs.records import synchronise
from relative_performer.training.devices import gpus, pick_device

min_version("9.0")

# a file given by --configfile that has experiments stands alone
if "experiments" not in config:

    configfile: "config.yaml" if Path("config.yaml").exists() else str(PROJECT / "config.yaml")


for key, value in workflow.config_settings.config.items():
    config[key] = parse_nested(config[key], value)
try:
    for path in workflow.configfiles:
        read_yaml(Path(path))  # snakemake itself takes the last of two equal keys
    check_config(config)
    validate(config, SCHEMA)
    RUNS = expand_experiments(config)
except UserError as error:
    print(f"error in the configuration: {error}", file=sys.stderr)
    sys.exit(2)

NAME = config["name"]
DATA = config["data"]["path"]
RESULTS = f"results/{NAME}"
FIGURES = f"figures/{NAME}"
RECORDED = [Path(RESULTS, "records.json"), Path(RESULTS), Path(FIGURES)]
try:
    if workflow.is_main_process:
        synchronise(FilePersistence(), *RECORDED)
    CHANGED = mark_changed_runs(Path(RESULTS), RUNS, Path(DATA))
    for summary, reasons in CHANGED.items():
        print(f"{summary} is made again: {', '.join(reasons)}", file=sys.stderr)
except (UserError, OSError) as error:
    print(f"error in the results: {error}", file=sys.stderr)
    sys.exit(2)
STARTED = time.time()
DATASETS = [name for name in ALL_DATASETS if any(run["dataset"] == name for run in RUNS.values())]
SHIFTED = [name for name in DATASETS if ALL_DATASETS[name].border or config["shift"]["circular"]]
SHIFT_TABLE = SHIFTED and config["shift"]["axis"] != "both"  # shifts along both axes have maps, and no table


report: "workflow/report/workflow.rst"


# for --sdm apptainer; users build it from Containerfile, since no image is published
container: "container.sif"


wildcard_constraints:
    dataset="|".join(ALL_DATASETS),
    model="|".join(MODELS),
    experiment=r"[^/]+",
    run=r"[^/]+",
    test="shift|confusion|redrawn",


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/test.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claim.smk"
include: "workflow/rules/equivariance.smk"
include: "workflow/rules/published.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/weights.smk"


# prints to the terminal and makes no file, so that it runs each time
rule plan:
    log:
        log_of("plan"),
    conda:
        "envs/train.yaml"
    params:
        config=lambda wildcards: quote(json.dumps(config)),
    message:
        "time a step of every model"
    shell:
        'printf %s {params.config} | python "$SCRIPTS"/plan.py - 2> {log}'


rule all:
    default_target: True
    input:
        SUMMARIES.values(),
        [file for kind in ("evaluations", "confusion") for file in run_files(kind)],
        [file for dataset in SHIFTED for file in run_files("shift", dataset)],
        rules.tables.input,
        rules.figures.input,
        rules.claim.output,


# on a cluster only these are jobs of the scheduler; the others take seconds or fetch data, and run beside snakemake
TESTS = {"test", "test_shifted", "test_redrawn", "test_weights", "measure_equivariance"}
workflow.localrules(*{rule.name for rule in workflow.rules} - TESTS - {"train"})


# a GPU that is missing ends the pipeline before its first job; on a cluster, in conda or in a container, the job ends
onstart:
    here = workflow.local_exec and not workflow.deployment_settings.deployment_method
    if (
        here
        and ACCELERATOR == "cuda"
        and any(job.rule.name in TESTS | {"train"} for job in workflow.dag.needrun_jobs())
    ):
        try:
            pick_device("cuda", GPUS)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)


onerror:
    synchronise(FilePersistence(), *RECORDED)


onsuccess:
    synchronise(FilePersistence(), *RECORDED)
    targets = [
        *rules.claim.output,
        *rules.figures.input,
        *rules.equivariance.input,
        *rules.published.input,
        *rules.redraws.output,
        *rules.weights.input,
    ]
    made = [path for path in targets if Path(path).exists() and Path(path).stat().st_mtime > STARTED]
    if rules.claim.output[1] in made:
        print(Path(rules.claim.output[1]).read_text())
    if seen := [path for path in dict.fromkeys(made) if path.endswith((".html", ".png", ".md"))]:
        print("Open these:", *seen, sep="\n  ")
