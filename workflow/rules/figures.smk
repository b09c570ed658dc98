rule plot_shift:
    input:
        code=grid.sources("plot_shift.py"),
        evaluations=rules.collect_evaluations.output,
        shifts=expand(rules.collect_shifts.output, dataset=SHIFTED),
        examples=expand(rules.shift_examples.output, dataset=SHIFTED),
    output:
        multiext(f"{FIGURES}/shift", ".pdf", ".png"),
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
    message:
        "draw accuracy over shift of {RESULTS}"
    shell:
        "python workflow/scripts/plot_shift.py --evaluations {input.evaluations} --shift {params.shifts}"
        " --examples {params.examples} --out {params.out} > {log} 2>&1"


rule plot_accuracy:
    input:
        code=grid.sources("plot_accuracy.py"),
        evaluations=rules.collect_evaluations.output,
    output:
        multiext(f"{FIGURES}/accuracy", ".pdf", ".png"),
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
        code=grid.sources("plot_curves.py"),
        evaluations=rules.collect_evaluations.output,
        curves=rules.collect_curves.output,
    output:
        multiext(f"{FIGURES}/learning_curves", ".pdf", ".png"),
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


rule figures:
    input:
        rules.plot_shift.output if SHIFTED else [],
        rules.plot_accuracy.output,
        rules.plot_curves.output,
