"""Measure what threads that wait cost beside other work: OMP_WAIT_POLICY, active or passive."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow" / "scripts"))

from bench import Stepper  # noqa: E402
from relative_performer.cli import ArgumentParser, run  # noqa: E402
from relative_performer.files import write_csv  # noqa: E402
from relative_performer.options import positive_int  # noqa: E402

EPILOG = """\
example:
  wait_policy.py --out results/benchmarks

A training step of Performer at the published size is timed in a new process, alone and beside another process that
keeps one core busy. wait_policy.csv has a row per policy and number of threads, with seconds per image, as medians over
rounds in turn. Nothing else should run on the machine.
"""
SIDE, BATCH = 32, 4


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the CSV file")
    parser.add_argument("--rounds", type=positive_int, default=3, metavar="N")
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    contests = [("active", cores), ("passive", cores), ("passive", 1)]
    rows = []
    for _ in range(options.rounds):
        for beside in ("alone", "beside a busy core"):
            for policy, threads in contests:
                rows.append({"policy": policy, "threads": threads, beside: measure(policy, threads, beside != "alone")})
    table = pd.DataFrame(rows).groupby(["policy", "threads"]).median().reset_index()
    write_csv(options.out / "wait_policy.csv", table)
    print(table.to_string(index=False, float_format="%.3f"))


def measure(policy: str, threads: int, busy: bool) -> float:
    """Return the seconds per image of a training step."""
    os.environ["OMP_WAIT_POLICY"] = policy
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        stepper = Stepper("Performer", "float32", "no", SIDE, BATCH, "cpu", threads)
        stepper.warm_up()
        step = stepper.finish()
    finally:
        if other:
            other.kill()
            other.wait()
    return float(step["seconds"]) / BATCH


if __name__ == "__main__":
    run(main)
