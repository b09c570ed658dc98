rule collect_evaluations:
    input:
        csv=run_files("evaluations"),
    output:
        report(f"{RESULTS}/model_evaluations.csv", caption="../report/evaluations.rst", category="Runs"),
    log:
        log_of("collect_evaluations"),
    benchmark:
        benchmark_of("collect_evaluations")
    conda:
        "../../envs/tables.yaml"
    params:
        code=script("collect_csv.py"),
        runs=run_names(),
    message:
        "collect {output}"
    shell:
        'python "$SCRIPTS"/collect_csv.py --out {output} {input.csv} > {log} 2>&1'


use rule collect_evaluations as collect_tests with:
    input:
        csv=lambda wildcards: run_files(wildcards.test, wildcards.dataset),
    output:
        f"{RESULTS}/{{dataset}}_{{test}}.csv",
    log:
        log_of("collect_tests/{dataset}_{test}"),
    benchmark:
        benchmark_of("collect_tests/{dataset}_{test}")
    params:
        runs=lambda wildcards: run_names(wildcards.dataset),


rule collect_runs:
    input:
        runs=SUMMARIES.values(),
    output:
        curves=f"{RESULTS}/learning_curves.csv",
        times=f"{RESULTS}/training_times.csv",
        provenance=f"{RESULTS}/provenance.json",
    log:
        log_of("collect_runs"),
    benchmark:
        benchmark_of("collect_runs")
    conda:
        "../../envs/tables.yaml"
    params:
        code=script("collect_curves.py", "collect_times.py", "collect_provenance.py"),
        runs=run_names(),
        run_dirs=lambda wildcards, input: [folder(summary) for summary in input.runs],
    message:
        "collect {output}"
    shell:
        '(python "$SCRIPTS"/collect_curves.py --out {output.curves} {params.run_dirs}'
        ' && python "$SCRIPTS"/collect_times.py --out {output.times} {params.run_dirs}'
        ' && python "$SCRIPTS"/collect_provenance.py --out {output.provenance} {params.run_dirs}) > {log} 2>&1'


rule shift_examples:
    input:
        data=data_for(f"{RESULTS}/{{dataset}}_examples.csv"),
    output:
        f"{RESULTS}/{{dataset}}_examples.csv",
    log:
        log_of("shift_examples/{dataset}"),
    benchmark:
        benchmark_of("shift_examples/{dataset}")
    conda:
        "../../envs/data.yaml"
    resources:
        folder=f"--data_path {DATA}",
    params:
        code=script("shift_examples.py"),
        data=data_checksum,
        label=SHIFT["labels"][0],
        min_shift=MIN_SHIFT + SHIFT_KIND,
    message:
        "pick the example images of {wildcards.dataset}"
    shell:
        'python "$SCRIPTS"/shift_examples.py {wildcards.dataset} {resources.folder} --label {params.label}'
        " {params.min_shift} --output {output} > {log} 2>&1"


rule make_tables:
    input:
        evaluations=rules.collect_evaluations.output,
        times=rules.collect_runs.output.times,
        published=PUBLISHED["evaluations"],
        cnn=PUBLISHED["cnn"],
    output:
        report(f"{RESULTS}/tables/accuracy.csv", caption="../report/accuracy_table.rst", category="Claim"),
        report(f"{RESULTS}/tables/differences.csv", caption="../report/differences.rst", category="Tables"),
        report(f"{RESULTS}/tables/reproduction.csv", caption="../report/reproduction.rst", category="Tables"),
        report(f"{RESULTS}/tables/costs.csv", caption="../report/costs_table.rst", category="Tables"),
        expand(f"{RESULTS}/tables/{{table}}.{{kind}}", table=TABLES, kind=["md", "tex"]),
    log:
        log_of("make_tables"),
    benchmark:
        benchmark_of("make_tables")
    conda:
        "../../envs/tables.yaml"
    params:
        code=script("make_tables.py", "compare_models.py", "compare_published.py", "tabulate_costs.py"),
        out=lambda wildcards, output: folder(output),
    message:
        "write {output[0]}, {output[1]}, {output[2]} and {output[3]}"
    shell:
        '(python "$SCRIPTS"/make_tables.py {input.evaluations} --out {params.out}'
        ' && python "$SCRIPTS"/compare_models.py {input.evaluations} --out {params.out}'
        ' && python "$SCRIPTS"/compare_published.py {input.evaluations} --published {input.published}'
        " --cnn {input.cnn} --out {params.out}"
        ' && python "$SCRIPTS"/tabulate_costs.py --evaluations {input.evaluations} --times {input.times}'
        " --out {params.out}) > {log} 2>&1"


rule tabulate_shifts:
    input:
        evaluations=rules.collect_evaluations.output,
        shifts=expand(rules.collect_tests.output, dataset=SHIFTED, test="shift"),
    output:
        report(f"{RESULTS}/tables/shift.csv", caption="../report/shift_table.rst", category="Tables"),
        f"{RESULTS}/tables/shift.md",
        f"{RESULTS}/tables/shift.tex",
    log:
        log_of("tabulate_shifts"),
    benchmark:
        benchmark_of("tabulate_shifts")
    conda:
        "../../envs/tables.yaml"
    params:
        code=script("tabulate_shifts.py"),
        shifts=lambda wildcards, input: [f"{name}={csv}" for name, csv in zip(SHIFTED, input.shifts)],
        out=lambda wildcards, output: folder(output),
    message:
        "write {output[0]}"
    shell:
        'python "$SCRIPTS"/tabulate_shifts.py --evaluations {input.evaluations} --shift {params.shifts}'
        " --out {params.out} > {log} 2>&1"


rule tables:
    input:
        rules.tabulate_shifts.output if SHIFT_TABLE else [],
        rules.collect_evaluations.output,
        rules.collect_runs.output,
        rules.make_tables.output,
        expand(rules.collect_tests.output, dataset=DATASETS, test="confusion"),
        expand(rules.collect_tests.output, dataset=SHIFTED, test="shift"),


rule redraws:
    input:
        evaluations=rules.collect_evaluations.output,
        redrawn=expand(rules.collect_tests.output, dataset=DATASETS, test="redrawn"),
    output:
        expand(f"{RESULTS}/tables/redraw.{{kind}}", kind=["csv", "md", "tex"]),
    log:
        log_of("redraws"),
    benchmark:
        benchmark_of("redraws")
    conda:
        "../../envs/tables.yaml"
    params:
        code=script("tabulate_redraws.py"),
        out=lambda wildcards, output: folder(output),
    message:
        "write {output[0]}"
    shell:
        'python "$SCRIPTS"/tabulate_redraws.py --evaluations {input.evaluations} --redrawn {input.redrawn}'
        " --out {params.out} > {log} 2>&1"
