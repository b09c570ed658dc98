rule tabulate_published:
    input:
        evaluations=PUBLISHED["evaluations"],
        cnn=PUBLISHED["cnn"],
    output:
        multiext("results/published/tables/published", ".csv", ".md", ".tex"),
    log:
        log_of("tabulate_published", "results/published"),
    benchmark:
        benchmark_of("tabulate_published", "results/published")
    conda:
        "../../envs/tables.yaml"
    params:
        code=script("tabulate_published.py"),
        out=lambda wildcards, output: folder(output),
    message:
        "write the table of the published results"
    shell:
        'python "$SCRIPTS"/tabulate_published.py {input.evaluations} {input.cnn} --out {params.out} > {log} 2>&1'


use rule plot_accuracy as plot_published with:
    input:
        shifts=PUBLISHED["shift"],
    output:
        multiext("figures/published/shift", ".pdf", ".png"),
    log:
        log_of("plot_published", "results/published"),
    benchmark:
        benchmark_of("plot_published", "results/published")
    params:
        code=script("plot_published.py"),
        command=lambda wildcards, input: f"plot_published.py {input.shifts}",


rule published:
    input:
        rules.tabulate_published.output,
        rules.plot_published.output,
