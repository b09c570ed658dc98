# the first run of every Performer and dataset
PERFORMER_RUNS = {
    (run["model"], run["dataset"]): f"{RESULTS}/runs/{experiment}/{name}/summary.json"
    for (experiment, name), run in reversed(RUNS.items())
    if run["model"] in names.PERFORMERS
}
MEASURED = {dataset: [m for m in names.PERFORMERS if (m, dataset) in PERFORMER_RUNS] for dataset in SHIFTED}


rule measure_equivariance:
    input:
        code=sources("equivariance.py"),
        data=f"{DATA}/{{dataset}}.npz",
        run=lambda wildcards: PERFORMER_RUNS[wildcards.model, wildcards.dataset],
    output:
        f"{RESULTS}/equivariance/{{model}}_{{dataset}}.csv",
    log:
        f"{RESULTS}/logs/measure_equivariance/{{model}}_{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_equivariance/{{model}}_{{dataset}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=min(1, config["gpus"]),
        machine=f"--accelerator {ACCELERATOR}",
    params:
        data_path=lambda wildcards, input: Path(input.data).parent,
        limit=LIMIT_TEST,
        min_shift=config["shift"]["min_shift"],
        run_dir=lambda wildcards, input: Path(input.run).parent,
    message:
        "measure the equivariance of {wildcards.model} on {wildcards.dataset}"
    shell:
        "python workflow/scripts/equivariance.py --min_shift {params.min_shift} {params.limit} {resources.machine}"
        " --threads {threads} --data_path {params.data_path} --output {output} {params.run_dir} > {log} 2>&1"


rule plot_equivariance:
    input:
        code=sources("plot_equivariance.py"),
        changes=lambda wildcards: expand(
            f"{RESULTS}/equivariance/{{model}}_{wildcards.dataset}.csv", model=MEASURED[wildcards.dataset]
        ),
    output:
        f"{FIGURES}/equivariance_{{dataset}}.pdf",
        report(f"{FIGURES}/equivariance_{{dataset}}.png", caption="../report/equivariance.rst", category="Figures"),
    log:
        f"{RESULTS}/logs/plot_equivariance/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_equivariance/{{dataset}}.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        changes=lambda wildcards, input: [
            f"{model}={csv}" for model, csv in zip(MEASURED[wildcards.dataset], input.changes)
        ],
        name=lambda wildcards, output: Path(output[0]).stem,
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw the equivariance of the models on {wildcards.dataset}"
    shell:
        "python workflow/scripts/plot_equivariance.py {params.changes} --name {params.name} --out {params.out} > {log} 2>&1"


rule equivariance:
    input:
        [expand(rules.plot_equivariance.output, dataset=dataset) for dataset, models in MEASURED.items() if models],
