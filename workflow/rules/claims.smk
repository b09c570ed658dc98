# like the plan it is made each time, because there is no record of the code that made the committed page
rule claims:
    input:
        references=map(str, sorted(REFERENCE.glob("*/*.csv"))),
        published=[PUBLISHED["evaluations"], PUBLISHED["cnn"]],
        shift=PUBLISHED["shift"],
        configs=[os.path.relpath(PROJECT / path) for path in ("config/baselines.yaml", "config.yaml")],
        hours=os.path.relpath(PROJECT / "resources/plan_h100.csv"),
    log:
        log_of("claims", "results/claims"),
    conda:
        "../../envs/train.yaml"
    params:
        tables=claims_tables,
        folder=CLAIMS,
        out=os.path.relpath(PROJECT / "docs/claims.md"),
    message:
        "write {params.out}"
    shell:
        "(rm -rf {params.folder} && {params.tables}"
        ' && python "$SCRIPTS"/tabulate_claims.py {params.folder} --published_shift {input.shift}'
        " --configs {input.configs} --plan {input.hours} --out {params.out}) > {log} 2>&1"
