# summary.json is written last. The rest of the run folder is no output, because Snakemake deletes outputs before it
# starts a job again, and an interrupted training continues from its checkpoint.
rule train:
    input:
        data=data_for(f"{RESULTS}/runs/{{experiment}}/{{run}}/summary.json"),
        hparams=changed_hparams,
    output:
        f"{RESULTS}/runs/{{experiment}}/{{run}}/summary.json",
    log:
        log_of("train/{experiment}/{run}"),
    benchmark:
        benchmark_of("train/{experiment}/{run}")
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=2880,
        gpu=GPUS,
        # a resource and not a parameter: another machine or folder of data must not make runs stale
        machine=f"--accelerator {ACCELERATOR} --devices {max(1, GPUS)} --data_path {DATA}",
    params:
        code=training_code,
        options=lambda wildcards: arguments(options_of(wildcards)),
        data=data_checksum,
        dataset=lambda wildcards: dataset_facts(dataset_of(wildcards)),
        log_path=lambda wildcards, output: folder(output, 3),
    message:
        "train {wildcards.experiment}/{wildcards.run}"
    shell:
        'python "$SCRIPTS"/train.py --wait {params.options} --threads {threads} {resources.machine}'
        " --log_path {params.log_path} --exp_name {wildcards.experiment} --version {wildcards.run} > {log} 2>&1"
