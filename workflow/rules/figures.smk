rule plot_accuracy:
    input:
        evaluations=rules.collect_evaluations.output,
    output:
        f"{FIGURES}/{EXPERIMENT}accuracy.pdf",
        report(f"{FIGURES}/{EXPERIMENT}accuracy.png", caption="../report/accuracy.rst", category="Figures"),
    log:
        log_of(f"{EXPERIMENT}plot_accuracy"),
    benchmark:
        benchmark_of(f"{EXPERIMENT}plot_accuracy")
    conda:
        "../../envs/plot.yaml"
    params:
        code=script("plot_accuracy.py"),
        command=lambda wildcards, input: f"plot_accuracy.py {input.evaluations}",
        of=lambda wildcards: f" --experiment {wildcards.experiment}" if wildcards.get("experiment") else "",
        out=lambda wildcards, output: folder(output),
    message:
        "draw {output[1]}"
    shell:
        'python "$SCRIPTS"/{params.command}{params.of} --out {params.out} > {log} 2>&1'


use rule plot_accuracy as plot_curves with:
    input:
        evaluations=rules.collect_evaluations.output,
        curves=rules.collect_runs.output.curves,
    output:
        f"{FIGURES}/{EXPERIMENT}learning_curves.pdf",
        report(
            f"{FIGURES}/{EXPERIMENT}learning_curves.png", caption="../report/learning_curves.rst", category="Figures"
        ),
    log:
        log_of(f"{EXPERIMENT}plot_curves"),
    benchmark:
        benchmark_of(f"{EXPERIMENT}plot_curves")
    params:
        code=script("plot_curves.py"),
        command=lambda _, input: f"plot_curves.py --evaluations {input.evaluations} --curves {input.curves}",


use rule plot_accuracy as plot_cost with:
    input:
        evaluations=rules.collect_evaluations.output,
        times=rules.collect_runs.output.times,
    output:
        f"{FIGURES}/{EXPERIMENT}cost.pdf",
        report(f"{FIGURES}/{EXPERIMENT}cost.png", caption="../report/cost.rst", category="Figures"),
    log:
        log_of(f"{EXPERIMENT}plot_cost"),
    benchmark:
        benchmark_of(f"{EXPERIMENT}plot_cost")
    params:
        code=script("plot_cost.py"),
        command=lambda _, input: f"plot_cost.py --evaluations {input.evaluations} --times {input.times}",


use rule plot_accuracy as plot_confusion with:
    input:
        evaluations=rules.collect_evaluations.output,
        confusion=f"{RESULTS}/{{dataset}}_confusion.csv",
    output:
        f"{FIGURES}/{EXPERIMENT}confusion_{{dataset}}.pdf",
        report(
            f"{FIGURES}/{EXPERIMENT}confusion_{{dataset}}.png", caption="../report/confusion.rst", category="Figures"
        ),
    log:
        log_of(f"{EXPERIMENT}plot_confusion/{{dataset}}"),
    benchmark:
        benchmark_of(f"{EXPERIMENT}plot_confusion/{{dataset}}")
    params:
        code=script("plot_confusion.py"),
        command=lambda wildcards, input: [
            *("plot_confusion.py", wildcards.dataset, "--evaluations", input.evaluations),
            *("--confusion", input.confusion),
        ],


# the figure of shifts along both axes is a map of accuracies, without example images
EXAMPLES = expand(rules.shift_examples.output, dataset=SHIFTED) if SHIFT["axis"] != "both" else []


use rule plot_accuracy as plot_shift with:
    input:
        evaluations=rules.collect_evaluations.output,
        shifts=expand(rules.collect_tests.output, dataset=SHIFTED, test="shift"),
        examples=EXAMPLES,
        # the published curves are of class 1: other classes are not comparable
        published=PUBLISHED["shift"] if SHIFT["labels"] == [1] else [],
    output:
        f"{FIGURES}/{EXPERIMENT}shift.pdf",
        report(f"{FIGURES}/{EXPERIMENT}shift.png", caption="../report/shift.rst", category="Claim"),
        f"{FIGURES}/{EXPERIMENT}shift_loss.pdf",
        report(f"{FIGURES}/{EXPERIMENT}shift_loss.png", caption="../report/shift_loss.rst", category="Figures"),
    log:
        log_of(f"{EXPERIMENT}plot_shift"),
    benchmark:
        benchmark_of(f"{EXPERIMENT}plot_shift")
    params:
        code=script("plot_shift.py"),
        command=lambda wildcards, input: [
            *("plot_shift.py", "--evaluations", input.evaluations),
            *("--shift", *(f"{name}={csv}" for name, csv in zip(SHIFTED, input.shifts))),
            *(["--examples", *(f"{name}={csv}" for name, csv in zip(SHIFTED, input.examples))] if EXAMPLES else []),
            *(["--published", input.published] if input.published else []),
        ],


rule relative_attention:
    input:
        run=lambda wildcards: TRAINED[wildcards.model, wildcards.dataset],
    output:
        f"{RESULTS}/attention/{{model}}_{{dataset}}.csv",
    log:
        log_of("relative_attention/{model}_{dataset}"),
    benchmark:
        benchmark_of("relative_attention/{model}_{dataset}")
    conda:
        "../../envs/train.yaml"
    params:
        code=evaluation_code("attention_maps"),
        run_dir=lambda wildcards, input: folder(input.run),
    message:
        "compute the attention of {wildcards.model} over relative positions on {wildcards.dataset}"
    shell:
        'python "$SCRIPTS"/relative_attention.py --output {output} {params.run_dir} > {log} 2>&1'


use rule plot_accuracy as plot_attention with:
    input:
        maps=rules.relative_attention.output,
    output:
        f"{FIGURES}/attention_{{model}}_{{dataset}}.pdf",
        report(f"{FIGURES}/attention_{{model}}_{{dataset}}.png", caption="../report/attention.rst", category="Figures"),
    log:
        log_of("plot_attention/{model}_{dataset}"),
    benchmark:
        benchmark_of("plot_attention/{model}_{dataset}")
    params:
        code=script("plot_attention.py"),
        command=lambda _, input, output: f"plot_attention.py {input.maps} --name {Path(output[0]).stem}",


MAPPED = [(model, dataset) for model, dataset in TRAINED if MODELS[model].attention_map]


rule figures:
    input:
        rules.tables.input,
        EXAMPLES,
        [expand(rules.relative_attention.output, model=model, dataset=dataset) for model, dataset in MAPPED],
        expand(rules.plot_shift.output, experiment=folders_with(*SHIFTED)) if SHIFTED else [],
        expand(rules.plot_accuracy.output, experiment=FOLDERS),
        expand(rules.plot_curves.output, experiment=FOLDERS),
        expand(rules.plot_cost.output, experiment=FOLDERS),
        [expand(rules.plot_confusion.output, dataset=name, experiment=folders_with(name)) for name in DATASETS],
        [expand(rules.plot_attention.output, model=model, dataset=dataset) for model, dataset in MAPPED],
