# the models on every dataset whose content can be moved into a black border
MEASURED = {name: [m for m in MODELS if (m, name) in TRAINED] for name in DATASETS if ALL_DATASETS[name].border}


use rule test as measure_equivariance with:
    input:
        data=data_for(f"{RESULTS}/equivariance/{{model}}_{{dataset}}.csv"),
        run=lambda wildcards: TRAINED[wildcards.model, wildcards.dataset],
    output:
        csv=f"{RESULTS}/equivariance/{{model}}_{{dataset}}.csv",
    log:
        log_of("measure_equivariance/{model}_{dataset}"),
    benchmark:
        benchmark_of("measure_equivariance/{model}_{dataset}")
    params:
        code=evaluation_code("equivariance"),
        command=f"equivariance.py {LIMIT_TEST} {MIN_SHIFT}",


use rule plot_accuracy as plot_equivariance with:
    input:
        changes=lambda wildcards: expand(
            f"{RESULTS}/equivariance/{{model}}_{wildcards.dataset}.csv", model=MEASURED[wildcards.dataset]
        ),
    output:
        f"{FIGURES}/equivariance_{{dataset}}.pdf",
        report(f"{FIGURES}/equivariance_{{dataset}}.png", caption="../report/equivariance.rst", category="Figures"),
    log:
        log_of("plot_equivariance/{dataset}"),
    benchmark:
        benchmark_of("plot_equivariance/{dataset}")
    params:
        code=script("plot_equivariance.py"),
        models=lambda wildcards: MEASURED[wildcards.dataset],
        command=lambda wildcards, input: [
            "plot_equivariance.py",
            *(f"{model}={csv}" for model, csv in zip(MEASURED[wildcards.dataset], input.changes)),
            *("--name", f"equivariance_{wildcards.dataset}"),
        ],


rule equivariance:
    input:
        [expand(rules.plot_equivariance.output, dataset=dataset) for dataset, models in MEASURED.items() if models],
