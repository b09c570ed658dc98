"""Export trained runs as safetensors, with their options and a model card."""

import os
import tempfile
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.files import write_atomically

EPILOG = """\
examples:
  export.py lightning_logs/default/version_0 --out my_model
  export.py results/rivals/runs/*/* --out resources/weights/rivals

FOLDER then has model.safetensors (the weights of the tested checkpoint), config.json (every option, facts of the
dataset, the commit with the code of the training, and the SHA-256 of the weights) and README.md (a model card). Of
several runs, each one has its own folder FOLDER/EXPERIMENT/RUN, and FOLDER has one card for all of them. The card gives
test accuracies, also on shifted images, if the pipeline has collected them (results/NAME/model_evaluations.csv and
DATASET_shift.csv of a run in results/NAME/runs). Its intervals are over seeds, or over images for a single run.

In Python, relative_performer.load_model("FOLDER") loads an exported model. It needs only torch and safetensors. The
commands that test runs accept exported models, too. They find the data with --data_path.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to create")
    arguments = parser.parse_args()
    run_dirs, out = arguments.run_dirs, arguments.out
    if out.exists():
        raise UserError(f"{out} is there already; choose another --out, or delete it")
    names = ["/".join(run_dir.resolve().parts[-2:]) for run_dir in run_dirs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two runs are called {min(twice)}: export them one by one")

    from relative_performer.results.model_card import measure, model_card
    from relative_performer.runs.checkpoints import read_trained
    from relative_performer.runs.exported import write_exported
    from relative_performer.runs.provenance import export_facts

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder, configs = Path(temporary, out.name), {}
        for name, run_dir in zip(names, run_dirs, strict=True):
            hparams, model = read_trained(run_dir)
            place = folder / name if len(names) > 1 else folder
            configs[name] = write_exported(place, model, export_facts(run_dir, hparams))
        example = out / names[0] if len(names) > 1 else out
        card = model_card(configs, measure(dict(zip(names, run_dirs, strict=True)), configs), str(example))
        write_atomically(folder / "README.md", card.encode())
        os.replace(folder, out)
    print(f"{out}: {len(names)} model{'s' * (len(names) > 1)}")


if __name__ == "__main__":
    run(main)
