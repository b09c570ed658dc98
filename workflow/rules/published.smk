rule tabulate_published:
    input:
        code=sources("tabulate_published.py"),
        evaluations=PUBLISHED["evaluations"],
        cnn=PUBLISHED["cnn"],
    output:
        multiext("results/published/tables/published", ".csv", ".md", ".tex"),
    log:
        "results/published/logs/tabulate_published.log",
    benchmark:
        "results/published/benchmarks/tabulate_published.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "write the table of the published results"
    shell:
        "python workflow/scripts/tabulate_published.py {input.evaluations} {input.cnn} --out {params.out} > {log} 2>&1"


rule plot_published:
    input:
        code=sources("plot_published.py"),
        shifts=PUBLISHED["shift"],
    output:
        multiext("figures/published/shift", ".pdf", ".png"),
    log:
        "results/published/logs/plot_published.log",
    benchmark:
        "results/published/benchmarks/plot_published.tsv"
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
    message:
        "draw the published accuracies over shift"
    shell:
        "python workflow/scripts/plot_published.py {input.shifts} --out {params.out} > {log} 2>&1"


rule published:
    input:
        rules.tabulate_published.output,
        rules.plot_published.output,
