rule collect_evaluations:
    input:
        code=sources("collect_csv.py"),
        csv=run_files("evaluations"),
    output:
        report(f"{RESULTS}/model_evaluations.csv", caption="../report/evaluations.rst", category="Runs"),
    log:
        f"{RESULTS}/logs/collect_evaluations.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_evaluations.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "collect the evaluations of {RESULTS}"
    shell:
        "python workflow/scripts/collect_csv.py --out {output} {input.csv} > {log} 2>&1"


rule collect_shifts:
    input:
        code=sources("collect_csv.py"),
        csv=lambda wildcards: run_files("shifts", wildcards.dataset),
    output:
        f"{RESULTS}/{{dataset}}_shift.csv",
    log:
        f"{RESULTS}/logs/collect_shifts/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_shifts/{{dataset}}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "collect the shift tests of {RESULTS} on {wildcards.dataset}"
    shell:
        "python workflow/scripts/collect_csv.py --out {output} {input.csv} > {log} 2>&1"


rule collect_confusion:
    input:
        code=sources("collect_csv.py"),
        csv=lambda wildcards: run_files("confusion", wildcards.dataset),
    output:
        f"{RESULTS}/{{dataset}}_confusion.csv",
    log:
        f"{RESULTS}/logs/collect_confusion/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_confusion/{{dataset}}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "collect the confusion matrices of {RESULTS} on {wildcards.dataset}"
    shell:
        "python workflow/scripts/collect_csv.py --out {output} {input.csv} > {log} 2>&1"


rule collect_curves:
    input:
        code=sources("collect_curves.py"),
        runs=[f"{RESULTS}/runs/{experiment}/{run}/summary.json" for experiment, run in RUNS],
    output:
        f"{RESULTS}/learning_curves.csv",
    log:
        f"{RESULTS}/logs/collect_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_curves.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        run_dirs=[f"{RESULTS}/runs/{experiment}/{run}" for experiment, run in RUNS],
    message:
        "collect the learning curves of {RESULTS}"
    shell:
        "python workflow/scripts/collect_curves.py --out {output} {params.run_dirs} > {log} 2>&1"


rule collect_times:
    input:
        code=sources("collect_times.py"),
        runs=[f"{RESULTS}/runs/{experiment}/{run}/summary.json" for experiment, run in RUNS],
    output:
        f"{RESULTS}/training_times.csv",
    log:
        f"{RESULTS}/logs/collect_times.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_times.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        run_dirs=[f"{RESULTS}/runs/{experiment}/{run}" for experiment, run in RUNS],
    message:
        "collect the training times of {RESULTS}"
    shell:
        "python workflow/scripts/collect_times.py --out {output} {params.run_dirs} > {log} 2>&1"


rule collect_provenance:
    input:
        code=sources("collect_provenance.py"),
        runs=[f"{RESULTS}/runs/{experiment}/{run}/summary.json" for experiment, run in RUNS],
    output:
        f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/collect_provenance.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_provenance.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        run_dirs=[f"{RESULTS}/runs/{experiment}/{run}" for experiment, run in RUNS],
    message:
        "collect where the numbers of {RESULTS} come from"
    shell:
        "python workflow/scripts/collect_provenance.py --out {output} {params.run_dirs} > {log} 2>&1"


rule shift_examples:
    input:
        code=sources("shift_examples.py"),
        data=f"{DATA}/{{dataset}}.npz",
    output:
        f"{RESULTS}/{{dataset}}_examples.csv",
    log:
        f"{RESULTS}/logs/shift_examples/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/shift_examples/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        data_path=lambda wildcards, input: Path(input.data).parent,
        label=config["shift"]["labels"][0],
        min_shift=config["shift"]["min_shift"],
    message:
        "pick the example images of {wildcards.dataset}"
    shell:
        "python workflow/scripts/shift_examples.py {wildcards.dataset} --data_path {params.data_path} --label {params.label}"
        " --min_shift {params.min_shift} --output {output} > {log} 2>&1"


rule make_tables:
    input:
        code=sources("make_tables.py"),
        evaluations=rules.collect_evaluations.output,
    output:
        report(f"{RESULTS}/tables/accuracy.csv", caption="../report/accuracy_table.rst", category="Tables"),
        multiext(f"{RESULTS}/tables/accuracy", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/make_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_tables.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "write the tables of {RESULTS}"
    shell:
        "python workflow/scripts/make_tables.py {input.evaluations} --out {params.out} > {log} 2>&1"


rule compare_models:
    input:
        code=sources("compare_models.py"),
        evaluations=rules.collect_evaluations.output,
    output:
        report(f"{RESULTS}/tables/differences.csv", caption="../report/differences.rst", category="Tables"),
        multiext(f"{RESULTS}/tables/differences", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/compare_models.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_models.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "compare the models of {RESULTS} pairwise"
    shell:
        "python workflow/scripts/compare_models.py {input.evaluations} --out {params.out} > {log} 2>&1"


rule compare_published:
    input:
        code=sources("compare_published.py"),
        evaluations=rules.collect_evaluations.output,
        published=PUBLISHED["evaluations"],
        cnn=PUBLISHED["cnn"],
    output:
        report(f"{RESULTS}/tables/reproduction.csv", caption="../report/reproduction.rst", category="Tables"),
        multiext(f"{RESULTS}/tables/reproduction", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/compare_published.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_published.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "compare {RESULTS} with the published results"
    shell:
        "python workflow/scripts/compare_published.py {input.evaluations} --published {input.published} --cnn {input.cnn}"
        " --out {params.out} > {log} 2>&1"


rule tables:
    input:
        rules.make_tables.output,
        rules.compare_models.output,
        rules.compare_published.output,
        rules.collect_provenance.output,
