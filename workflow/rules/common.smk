ACCELERATOR = "auto" if config["gpus"] else "cpu"
RELATIVE_RUNS = {
    (run["model"], run["dataset"]): f"{RESULTS}/runs/{experiment}/{name}/summary.json"
    for (experiment, name), run in reversed(RUNS.items())
    if run["model"] in ("RelativePerformer", "ClippedRelativePerformer")
}
PUBLISHED = {kind: f"resources/published_{kind}.csv" for kind in ("evaluations", "shift", "cnn")}


def run_data(wildcards):
    return f"{DATA}/{RUNS[wildcards.experiment, wildcards.run]['dataset']}.npz"


def run_files(kind, dataset=None):
    return [
        f"{RESULTS}/{kind}/{experiment}/{run}.csv"
        for (experiment, run), options in RUNS.items()
        if dataset in (None, options["dataset"])
    ]
