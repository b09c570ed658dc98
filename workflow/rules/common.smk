ACCELERATOR = "auto" if config["gpus"] else "cpu"


def run_data(wildcards):
    return f"{DATA}/{RUNS[wildcards.experiment, wildcards.run]['dataset']}.npz"


def run_files(kind, dataset=None):
    return [
        f"{RESULTS}/{kind}/{experiment}/{run}.csv"
        for (experiment, run), options in RUNS.items()
        if dataset in (None, options["dataset"])
    ]
