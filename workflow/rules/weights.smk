# The trained weights of resources/weights/NAME under the configuration's shifts: nothing is trained.
use rule test as test_weights with:
    input:
        data=data_for(f"{RESULTS}/weights/{{model}}_{{dataset}}.csv"),
        weights=lambda wildcards: [
            f"{folder}/{file}" for folder in exported(wildcards) for file in ("model.safetensors", "config.json")
        ],
    output:
        csv=f"{RESULTS}/weights/{{model}}_{{dataset}}.csv",
    log:
        log_of("test_weights/{model}_{dataset}"),
    benchmark:
        benchmark_of("test_weights/{model}_{dataset}")
    params:
        code=evaluation_code("shift_test"),
        command=f"{rules.test_shifted.params.command} --original_run_dir",
        run_dir=lambda wildcards: exported(wildcards),
    message:
        "test the trained weights of {wildcards.model} on shifted images of {wildcards.dataset}"


use rule collect_evaluations as collect_weights with:
    input:
        csv=lambda wildcards: [
            f"{RESULTS}/weights/{model}_{dataset}.csv" for model, dataset in TRAINED if dataset == wildcards.dataset
        ],
    output:
        f"{RESULTS}/weights/{{dataset}}_shift.csv",
    log:
        log_of("collect_weights/{dataset}"),
    benchmark:
        benchmark_of("collect_weights/{dataset}")
    params:
        code=script("collect_csv.py"),
        runs=lambda wildcards: run_names(wildcards.dataset),


use rule plot_shift as plot_weights with:
    input:
        evaluations=str(REFERENCE / NAME / "model_evaluations.csv"),
        shifts=expand(rules.collect_weights.output, dataset=SHIFTED),
        examples=EXAMPLES,
        published=PUBLISHED["shift"] if SHIFT["labels"] == [1] else [],
    output:
        multiext(f"{FIGURES}/weights/shift", ".pdf", ".png"),
        multiext(f"{FIGURES}/weights/shift_loss", ".pdf", ".png"),
    log:
        log_of("plot_weights"),
    benchmark:
        benchmark_of("plot_weights")


rule weights:
    input:
        rules.plot_weights.output,
