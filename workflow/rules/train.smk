# summary.json is written last; the rest of the run folder is no output, because Snakemake deletes outputs before it
# starts a job again, and an interrupted training goes on from its checkpoint
rule train:
    input:
        code=sources("train.py"),
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
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=2880,
        gpu=config["gpus"],
        # a resource and not a parameter: another machine must not make runs stale
        machine=f"--accelerator {ACCELERATOR} --devices {max(1, config['gpus'])}",
    params:
        data_path=lambda wildcards, input: Path(input.data).parent,
        log_path=lambda wildcards, output: Path(output[0]).parents[2],
        options=lambda wildcards: grid.arguments(RUNS[wildcards.experiment, wildcards.run]),
    message:
        "train {wildcards.experiment}/{wildcards.run}"
    shell:
        "python workflow/scripts/train.py --wait {params.options} --threads {threads} {resources.machine} --data_path {params.data_path}"
        " --log_path {params.log_path} --exp_name {wildcards.experiment} --version {wildcards.run} > {log} 2>&1"
