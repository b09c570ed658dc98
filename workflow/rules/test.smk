rule test:
    input:
        data=data_for(f"{RESULTS}/evaluations/{{experiment}}/{{run}}.csv"),
        run=rules.train.output,
    output:
        csv=f"{RESULTS}/evaluations/{{experiment}}/{{run}}.csv",
        confusion=f"{RESULTS}/confusion/{{experiment}}/{{run}}.csv",
    log:
        log_of("test/{experiment}/{run}"),
    benchmark:
        benchmark_of("test/{experiment}/{run}")
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=min(1, GPUS),
        machine=f"--accelerator {ACCELERATOR} --data_path {DATA}",
    params:
        code=evaluation_code("test"),
        command=f"test.py {LIMIT_TEST} --confusion {RESULTS}/confusion/{{experiment}}/{{run}}.csv",
        run_dir=lambda wildcards, input: folder(input.run),
    message:
        "test {output.csv}"
    shell:
        'python "$SCRIPTS"/{params.command} {resources.machine} --threads {threads} --output {output.csv}'
        " {params.run_dir} > {log} 2>&1"


use rule test as test_shifted with:
    input:
        data=data_for(f"{RESULTS}/shift/{{experiment}}/{{run}}.csv"),
        run=rules.train.output,
    output:
        csv=f"{RESULTS}/shift/{{experiment}}/{{run}}.csv",
    log:
        log_of("test_shifted/{experiment}/{run}"),
    benchmark:
        benchmark_of("test_shifted/{experiment}/{run}")
    params:
        code=evaluation_code("shift_test"),
        command=f"test_shifted.py {LIMIT_TEST} {MIN_SHIFT} --labels {' '.join(map(str, SHIFT['labels']))}{SHIFT_KIND}",


use rule test as test_redrawn with:
    input:
        data=data_for(f"{RESULTS}/redrawn/{{experiment}}/{{run}}.csv"),
        run=rules.train.output,
    output:
        csv=f"{RESULTS}/redrawn/{{experiment}}/{{run}}.csv",
    log:
        log_of("test_redrawn/{experiment}/{run}"),
    benchmark:
        benchmark_of("test_redrawn/{experiment}/{run}")
    params:
        code=evaluation_code("redraw_test"),
        command=f"test_redrawn.py {LIMIT_TEST}",
