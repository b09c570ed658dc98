COMMAND = [
    *(["snakemake"] if PROJECT == Path.cwd() else ["snakemake", "-s", os.path.relpath(PROJECT / "Snakefile")]),
    *("all", "--cores", str(workflow.resource_settings.cores or "N")),
    *("--configfile", *(os.path.relpath(path) for path in workflow.configfiles)),
    *(["--config"] if workflow.config_settings.config else []),
    *(f"{key}={json.dumps(value)}" for key, value in workflow.config_settings.config.items()),
]


rule claim:
    input:
        evaluations=rules.collect_evaluations.output,
        costs=f"{RESULTS}/tables/costs.csv",
        shift=rules.tabulate_shifts.output[0] if SHIFT_TABLE else [],
        figure=expand(rules.plot_shift.output[1], experiment=folders_with(*SHIFTED)[:1]) if SHIFTED else [],
    output:
        report(f"{RESULTS}/claim.html", caption="../report/claim.rst", category="Claim"),
        f"{RESULTS}/claim.txt",
    log:
        log_of("claim"),
    benchmark:
        benchmark_of("claim")
    conda:
        "../../envs/tables.yaml"
    resources:
        # a resource and not a parameter: the same results on other cores, or from another file, are not stale
        command=quote(joined(COMMAND)),
    params:
        code=script("write_claim.py"),
        shift=lambda wildcards, input: f"--shift {input.shift}" if input.shift else "",
        figure=lambda wildcards, input: f"--figure {input.figure}" if input.figure else "",
        out=lambda wildcards, output: folder(output),
    message:
        "write {output[0]}"
    shell:
        'python "$SCRIPTS"/write_claim.py {input.evaluations} --costs {input.costs} {params.shift} {params.figure}'
        " --command {resources.command} --out {params.out} > {log} 2>&1"
