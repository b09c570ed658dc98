def run_data(wildcards):
    return f"{DATA}/{RUNS[wildcards.experiment, wildcards.run]['dataset']}.npz"


# summary.json is written last; the rest of the run folder is no output, because Snakemake deletes outputs before it
# starts a job again, and an interrupted training goes on from its checkpoint
rule train:
    input:
        code=grid.sources("train.py"),
        data=run_data,
    output:
        f"{RESULTS}/runs/{{experiment}}/{{run}}/summary.json",
    log:
        f"{RESULTS}/logs/train/{{experiment}}/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{experiment}}/{{run}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=8000,
        runtime=2880,
        gpu=config["gpus"],
        machine="--accelerator auto --devices {}".format(config["gpus"]) if config["gpus"] else "--accelerator cpu",
    params:
        options=lambda wildcards: grid.arguments(RUNS[wildcards.experiment, wildcards.run]),
    message:
        "train {wildcards.experiment}/{wildcards.run}"
    shell:
        "python workflow/scripts/train.py {params.options} --threads {threads} {resources.machine} --data_path {DATA}"
        " --log_path {RESULTS}/runs --exp_name {wildcards.experiment} --version {wildcards.run} > {log} 2>&1"
