# what is prepared stays, until its file is deleted
rule prepare_data:
    output:
        f"{DATA}/{{dataset}}.npz",
    log:
        log_of("{dataset}", DATA),
    benchmark:
        benchmark_of("{dataset}", DATA)
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
        # a resource and not a parameter: another mirror gives the same data, and must not make runs stale
        mirror=f"--mirror {quote(config['data']['mirror'])}" if config["data"]["mirror"] else "",
    params:
        md5=lambda wildcards: [
            f"--md5 {archive}={md5}" for archive, md5 in config["data"]["md5"].get(wildcards.dataset, {}).items()
        ],
    message:
        "prepare {wildcards.dataset}"
    shell:
        'python "$SCRIPTS"/prepare_data.py {wildcards.dataset} --out {output} {resources.mirror} {params.md5}'
        " > {log} 2>&1"
