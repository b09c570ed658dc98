GPUS = config["gpus"] if config["gpus"] != "auto" else min(1, len(gpus()))
ACCELERATOR = {"auto": "auto", 0: "cpu"}.get(config["gpus"], "cuda")
LIMIT_TEST = f"--limit_test {config['limit_test']}" if config["limit_test"] else ""
SHIFT = config["shift"]
MIN_SHIFT = f"--min_shift {SHIFT['min_shift']}"
# nothing for the published shifts
SHIFT_KIND = f" --axis {SHIFT['axis']}" * (SHIFT["axis"] != "columns") + " --circular" * SHIFT["circular"]
TABLES = ["accuracy", "differences", "reproduction", "costs"]
PUBLISHED = {
    kind: os.path.relpath(PROJECT / f"resources/published_{kind}.csv") for kind in ("evaluations", "shift", "cnn")
}
REFERENCE = Path(os.path.relpath(PROJECT / "resources/reference"))
CLAIMS = "results/claims/tables"
SUMMARIES = {key: f"{RESULTS}/runs/{'/'.join(key)}/summary.json" for key in RUNS}
# exported models of the runs
WEIGHTS = os.path.relpath(PROJECT / "resources/weights" / NAME)
# The figures that compare runs stand in the folder of the configuration or, where one page cannot hold every experiment,
# in a folder for each of them.
FOLDERS = figure_folders(RUNS)
EXPERIMENT = "" if "" in FOLDERS else "{experiment}/"
# the first run of every model and dataset
TRAINED = {(run["model"], run["dataset"]): SUMMARIES[key] for key, run in reversed(RUNS.items())}


def log_of(job, results=RESULTS):
    return f"{results}/logs/{job}.log"


def benchmark_of(job, results=RESULTS):
    return f"{results}/benchmarks/{job}.tsv"


# Code is a parameter, each file with its checksum, and no input: its content decides what is stale, and not its time.
def script(*names):
    return code.versions(*(file for name in names for file in code.script_code(name)))


def training_code(wildcards):
    return code.versions(*code.training_code(model_of(wildcards)))


def evaluation_code(module):
    return lambda wildcards: code.versions(*code.evaluation_code(module, model_of(wildcards)))


def model_of(wildcards):
    return wildcards.get("model") or options_of(wildcards)["model"]


def options_of(wildcards):
    return RUNS[wildcards.experiment, wildcards.run]


def dataset_of(wildcards):
    return wildcards.get("dataset") or options_of(wildcards)["dataset"]


# Likewise for prepared data: the file is an input only where it has to be made first, and not of an `output` that there
# is already, unless it is of a run that has to be trained again. What is known of a missing file is the checksum that a
# run recorded.
def data_for(output):
    def data_file(wildcards):
        file, made = f"{DATA}/{dataset_of(wildcards)}.npz", Path(output.format(**dict(wildcards.items())))
        return [] if Path(file).exists() or (made.exists() and made not in CHANGED) else file

    return data_file


# of a finished run, which is older than its summary.json unless the run has to be trained again
def changed_hparams(wildcards):
    run_dir = Path(SUMMARIES[wildcards.experiment, wildcards.run]).parent
    return [str(run_dir / "hparams.yaml")] if (run_dir / "summary.json").exists() else []


def data_checksum(wildcards):
    dataset = dataset_of(wildcards)
    recorded = [Path(summary).parent for (_, name), summary in TRAINED.items() if name == dataset]
    return checksum_if_there(Path(f"{DATA}/{dataset}.npz")) or recorded_checksum(recorded)


def run_names(dataset=None):
    chosen = [key for key, options in RUNS.items() if dataset in (None, options["dataset"])]
    return ["/".join(key) for key in chosen]


def run_files(kind, dataset=None):
    return [f"{RESULTS}/{kind}/{name}.csv" for name in run_names(dataset)]


def folder(files, up=1):
    return Path(files if isinstance(files, str) else files[0]).parents[up - 1]


# the commands for the tables of a reference below resources/reference, as far as it has the files
def reference_tables(folder):
    evaluations = folder / "model_evaluations.csv"
    given = f"--evaluations {evaluations}"
    yield f"compare_published {evaluations} --published {PUBLISHED['evaluations']} --cnn {PUBLISHED['cnn']}"
    if shifts := [f"{csv.stem.removesuffix('_shift')}={csv}" for csv in sorted(folder.glob("*_shift.csv"))]:
        yield f"tabulate_shifts {given} --shift {' '.join(shifts)}"
    for test in ("rows", "circular"):
        for csv in sorted(folder.glob(f"*_{test}.csv")):
            yield f"tabulate_shifts {given} --shift {csv.stem.removesuffix(f'_{test}')}={csv} --name {test}"
    if (times := folder / "training_times.csv").exists():
        yield f"tabulate_costs {given} --times {times}"
    if redrawn := [str(csv) for csv in sorted(folder.glob("*_redrawn.csv"))]:
        yield f"tabulate_redraws {given} --redrawn {' '.join(redrawn)}"
    if folder.name == "mini":
        yield f"compare_reference {folder} --reference {folder}"


def claims_tables(wildcards, input):
    folders = [Path(csv).parent for csv in input.references if csv.endswith("model_evaluations.csv")]
    tables = [(*command.split(" ", 1), folder.name) for folder in folders for command in reference_tables(folder)]
    return " && ".join(f'python "$SCRIPTS"/{script}.py {words} --out {CLAIMS}/{name}' for script, words, name in tables)


def folders_with(*datasets):
    having = {experiment for (experiment, _), run in RUNS.items() if run["dataset"] in datasets}
    return [name for name in FOLDERS if not name or name in having]


def exported(wildcards):
    chosen = {"model": wildcards.model, "dataset": wildcards.dataset}
    return [f"{WEIGHTS}/{'/'.join(key)}" for key, options in RUNS.items() if chosen.items() <= options.items()]
