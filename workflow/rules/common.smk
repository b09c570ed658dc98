ACCELERATOR = "auto" if config["gpus"] else "cpu"
LIMIT_TEST = f"--limit_test {config['limit_test']}" if config["limit_test"] else ""
MIN_SHIFT = f"--min_shift {config['shift']['min_shift']}"
TABLES = ["accuracy", "differences", "reproduction"]
PUBLISHED = {
    kind: os.path.relpath(PROJECT / f"resources/published_{kind}.csv") for kind in ("evaluations", "shift", "cnn")
}
SUMMARIES = {key: f"{RESULTS}/runs/{'/'.join(key)}/summary.json" for key in RUNS}
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


# Likewise for prepared data: the file is an input only where it has to be made first. What is known of a missing file
# is the checksum that a run recorded.
def data_file(wildcards):
    file = f"{DATA}/{dataset_of(wildcards)}.npz"
    return [] if Path(file).exists() else file


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
