LIMIT_TEST = f"--limit_test {config['limit_test']}" if config["limit_test"] else ""


rule test:
    input:
        code=sources("test.py"),
        data=run_data,
        run=rules.train.output,
    output:
        evaluation=f"{RESULTS}/evaluations/{{experiment}}/{{run}}.csv",
        confusion=f"{RESULTS}/confusion/{{experiment}}/{{run}}.csv",
    log:
        f"{RESULTS}/logs/test/{{experiment}}/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/test/{{experiment}}/{{run}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=min(1, config["gpus"]),
        machine=f"--accelerator {ACCELERATOR}",
    params:
        data_path=lambda wildcards, input: Path(input.data).parent,
        limit=LIMIT_TEST,
        run_dir=lambda wildcards, input: Path(input.run[0]).parent,
    message:
        "test {wildcards.experiment}/{wildcards.run}"
    shell:
        "python workflow/scripts/test.py {params.limit} {resources.machine} --threads {threads}"
        " --data_path {params.data_path} --output {output.evaluation} --confusion {output.confusion} {params.run_dir}"
        " > {log} 2>&1"


rule test_shifted:
    input:
        code=sources("test_shifted.py"),
        data=run_data,
        run=rules.train.output,
    output:
        f"{RESULTS}/shifts/{{experiment}}/{{run}}.csv",
    log:
        f"{RESULTS}/logs/test_shifted/{{experiment}}/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/test_shifted/{{experiment}}/{{run}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=min(1, config["gpus"]),
        machine=f"--accelerator {ACCELERATOR}",
    params:
        data_path=lambda wildcards, input: Path(input.data).parent,
        limit=LIMIT_TEST,
        labels=config["shift"]["labels"],
        min_shift=config["shift"]["min_shift"],
        run_dir=lambda wildcards, input: Path(input.run[0]).parent,
    message:
        "test {wildcards.experiment}/{wildcards.run} on shifted images"
    shell:
        "python workflow/scripts/test_shifted.py --labels {params.labels} --min_shift {params.min_shift} {params.limit}"
        " {resources.machine} --threads {threads} --data_path {params.data_path} --output {output} {params.run_dir}"
        " > {log} 2>&1"
