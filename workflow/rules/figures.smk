rule plot_shift:
    input:
        code=sources("plot_shift.py"),
        evaluations=rules.collect_evaluations.output,
        shifts=expand(rules.collect_shifts.output, dataset=SHIFTED),
        examples=expand(rules.shift_examples.output, dataset=SHIFTED),
        # the published curves are of class 1: other classes are not comparable
        published=PUBLISHED["shift"] if config["shift"]["labels"] == [1] else [],
    output:
        f"{FIGURES}/shift.pdf",
        report(f"{FIGURES}/shift.png", caption="../report/shift.rst", category="Figures"),
        f"{FIGURES}/shift_loss.pdf",
        report(f"{FIGURES}/shift_loss.png", caption="../report/shift_loss.rst", category="Figures"),
    log:
        f"{RESULTS}/logs/plot_shift.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_shift.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
        shifts=lambda wildcards, input: [f"{name}={csv}" for name, csv in zip(SHIFTED, input.shifts)],
        examples=lambda wildcards, input: [f"{name}={csv}" for name, csv in zip(SHIFTED, input.examples)],
        published=lambda wildcards, input: f"--published {input.published}" if input.published else "",
    message:
        "draw accuracy and loss over shift of {RESULTS}"
    shell:
        "python workflow/scripts/plot_shift.py --evaluations {input.evaluations} --shift {params.shifts}"
        " --examples {params.examples} {params.published} --out {params.out} > {log} 2>&1"


rule plot_accuracy:
    input:
        code=sources("plot_accuracy.py"),
        evaluations=rules.collect_evaluations.output,
    output:
        f"{FIGURES}/accuracy.pdf",
        report(f"{FIGURES}/accuracy.png", caption="../report/accuracy.rst", category="Figures"),
    log:
        f"{RESULTS}/logs/plot_accuracy.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_accuracy.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw accuracy by model and embedding of {RESULTS}"
    shell:
        "python workflow/scripts/plot_accuracy.py {input.evaluations} --out {params.out} > {log} 2>&1"


rule plot_curves:
    input:
        code=sources("plot_curves.py"),
        evaluations=rules.collect_evaluations.output,
        curves=rules.collect_curves.output,
    output:
        f"{FIGURES}/learning_curves.pdf",
        report(f"{FIGURES}/learning_curves.png", caption="../report/learning_curves.rst", category="Figures"),
    log:
        f"{RESULTS}/logs/plot_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_curves.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw the learning curves of {RESULTS}"
    shell:
        "python workflow/scripts/plot_curves.py --evaluations {input.evaluations} --curves {input.curves}"
        " --out {params.out} > {log} 2>&1"


rule plot_cost:
    input:
        code=sources("plot_cost.py"),
        evaluations=rules.collect_evaluations.output,
        times=rules.collect_times.output,
    output:
        f"{FIGURES}/cost.pdf",
        report(f"{FIGURES}/cost.png", caption="../report/cost.rst", category="Figures"),
    log:
        f"{RESULTS}/logs/plot_cost.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_cost.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw accuracy over parameters and training time of {RESULTS}"
    shell:
        "python workflow/scripts/plot_cost.py --evaluations {input.evaluations} --times {input.times} --out {params.out}"
        " > {log} 2>&1"


rule plot_confusion:
    input:
        code=sources("plot_confusion.py"),
        evaluations=rules.collect_evaluations.output,
        confusion=rules.collect_confusion.output,
    output:
        f"{FIGURES}/confusion_{{dataset}}.pdf",
        report(
            f"{FIGURES}/confusion_{{dataset}}.png",
            caption="../report/confusion.rst",
            category="Figures",
            subcategory="Confusion matrices",
        ),
    log:
        f"{RESULTS}/logs/plot_confusion/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_confusion/{{dataset}}.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw the confusion matrices of {RESULTS} on {wildcards.dataset}"
    shell:
        "python workflow/scripts/plot_confusion.py {wildcards.dataset} --evaluations {input.evaluations}"
        " --confusion {input.confusion} --out {params.out} > {log} 2>&1"


# the first run of every model with relative positions and dataset
rule relative_attention:
    input:
        code=sources("relative_attention.py"),
        run=lambda wildcards: RELATIVE_RUNS[wildcards.model, wildcards.dataset],
    output:
        f"{RESULTS}/attention/{{model}}_{{dataset}}.csv",
    log:
        f"{RESULTS}/logs/relative_attention/{{model}}_{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/relative_attention/{{model}}_{{dataset}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        run_dir=lambda wildcards, input: Path(input.run).parent,
    message:
        "read what {wildcards.model} has learnt of positions on {wildcards.dataset}"
    shell:
        "python workflow/scripts/relative_attention.py --output {output} {params.run_dir} > {log} 2>&1"


rule plot_attention:
    input:
        code=sources("plot_attention.py"),
        maps=rules.relative_attention.output,
    output:
        f"{FIGURES}/attention_{{model}}_{{dataset}}.pdf",
        report(
            f"{FIGURES}/attention_{{model}}_{{dataset}}.png",
            caption="../report/attention.rst",
            category="Figures",
            subcategory="Attention over relative positions",
        ),
    log:
        f"{RESULTS}/logs/plot_attention/{{model}}_{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_attention/{{model}}_{{dataset}}.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        name=lambda wildcards, output: Path(output[0]).stem,
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw what {wildcards.model} has learnt of positions on {wildcards.dataset}"
    shell:
        "python workflow/scripts/plot_attention.py {input.maps} --name {params.name} --out {params.out} > {log} 2>&1"


rule figures:
    input:
        rules.plot_shift.output if SHIFTED else [],
        rules.plot_accuracy.output,
        rules.plot_curves.output,
        rules.plot_cost.output,
        expand(rules.plot_confusion.output, dataset=DATASETS),
        [expand(rules.plot_attention.output, model=model, dataset=dataset) for model, dataset in RELATIVE_RUNS],
