"""Train one model on one dataset."""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.config.options import OPTIONS, add_options, check_run, options_of, renamed
from relative_performer.data import DATASETS
from relative_performer.errors import UserError, nearest
from relative_performer.models import MODELS
from relative_performer.options import Option, choice, integer
from relative_performer.runs.folders import JOIN
from relative_performer.training.devices import forget_ranks

EPILOG = """\
examples:
  train.py Performer MNIST --help                      only the options of this model
  train.py RelativePerformer Digits --dim 32 --depth 2 --max_epochs 10
  train.py --exp_name mine --version first NoposPerformer MNIST --learning_rate 5e-5

The folder of a run is LOG_PATH/EXP_NAME/VERSION. It has hparams.yaml with every option, checkpoints/best.ckpt (highest
val/acc) and last.ckpt, metrics.csv with a row per epoch, TensorBoard events, and at the end summary.json. Training
stops when val/acc has not risen for PATIENCE epochs. The same command with the same --version resumes an interrupted
run: from its last whole epoch if it was killed, and from the last step if SIGTERM, SIGUSR1 or ctrl-C stopped it (exit
code 75). Only one command at a time can train a run. A second command fails, or waits (--wait).
"""
PLACE = ("log_path", "exp_name", "version", "wait")
ACCELERATORS = ("auto", "cpu", "cuda")


def main() -> None:
    arguments = vars(parse(sys.argv[1:]))
    log_path, exp_name, version, wait = (arguments.pop(name) for name in PLACE)
    hparams = {name: arguments[name] for name in ("model", "dataset")} | arguments
    data_path = hparams["data_path"]
    hparams["data_path"] = str(data_path)
    try:
        check_run(hparams["model"], hparams["dataset"], hparams)
    except ValueError as error:
        raise UserError(str(error)) from None

    if hparams["devices"] == 1 and JOIN not in os.environ:
        forget_ranks()
    # imported here: torch takes seconds to import, which --help and wrong arguments do not need
    import torch

    from relative_performer.data.prepared import load
    from relative_performer.files import checksum
    from relative_performer.runs.folders import CODE, open_run, read_summary
    from relative_performer.runs.provenance import code_checksum, dataset_facts, record_attempt
    from relative_performer.training.devices import configure_cpu, device_name, hold_gpus, pick_device
    from relative_performer.training.failures import as_user_errors, record_failure
    from relative_performer.training.train import train

    device = pick_device(hparams["accelerator"], hparams["devices"])
    hparams["accelerator"] = device.type
    configure_cpu(hparams["threads"])
    arrays = load(DATASETS[hparams["dataset"]], data_path)
    hparams["data_sha256"] = checksum(data_path / f"{hparams['dataset']}.npz")
    hparams["threads"] = torch.get_num_threads()
    hparams |= dataset_facts(hparams["dataset"]) | {CODE: code_checksum(hparams["model"])}
    with open_run(log_path / exp_name, version, hparams, wait) as (run_dir, resume):
        summary = read_summary(run_dir)
        if not summary:
            with hold_gpus(device, hparams["devices"]), record_failure(run_dir), as_user_errors(run_dir):
                record_attempt(run_dir, hparams["model"])
                where = f"{device_name(device)}, {hparams['threads']} CPU threads, {hparams['precision']}"
                print(f"{'resuming' if resume else 'training'} {run_dir} on {where}", flush=True)
                summary = train(run_dir, resume, hparams, arrays)
    print(f"{run_dir}: best epoch {summary['best_epoch']} of {summary['epochs']}, {summary['seconds']:.0f} s")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse a command line with the options of the model in it."""
    finder = build_parser(OPTIONS.values())
    finder.add_argument("words", nargs="*")
    words = finder.parse_known_intermixed_args([word for word in argv if word not in ("-h", "--help")])[0].words
    model = next((word for word in words if word in MODELS), None)
    parser = build_parser(options_of(model) if model else OPTIONS.values())
    parser.add_argument("model", type=choice("model", MODELS), metavar="MODEL", help=", ".join(MODELS))
    parser.add_dataset()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        name = unknown[0].partition("=")[0]
        hint = renamed([name.removeprefix("--")]) or f": {nearest(name, parser.option_names())}"
        parser.error(f"{model} has no option {unknown[0]}{hint}")
    return arguments


def build_parser(options: Iterable[Option]) -> ArgumentParser:
    """Return a parser with the given options, without MODEL and DATASET."""
    parser = ArgumentParser(usage="%(prog)s [options] MODEL DATASET", description=__doc__, epilog=EPILOG)
    place = parser.add_argument_group("folders of the run and of the data")
    place.add_argument("--log_path", type=Path, default=Path("lightning_logs"), help="default lightning_logs")
    place.add_argument("--exp_name", type=folder_name, default="default", help="default default")
    place.add_argument("--version", type=folder_name, help="default version_X, X counting up")
    wait_help = "wait while another process trains this run, and accept its result if the options are the same"
    place.add_argument("--wait", action="store_true", help=wait_help)
    data_help = "folder with DATASET.npz from prepare_data.py (default data)"
    place.add_argument("--data_path", type=Path, default=Path("data"), help=data_help)
    machine = parser.add_argument_group("machine")
    accelerator = choice("accelerator", ACCELERATORS)
    machine.add_argument("--accelerator", type=accelerator, default="auto", metavar="{" + ",".join(ACCELERATORS) + "}")
    devices_help = "GPUs, or processes on the CPU (default 1)"
    machine.add_argument("--devices", type=integer(1, 64), default=1, metavar="N", help=devices_help)
    machine.add_argument("--threads", type=integer(1, 1024), metavar="N", help="CPU threads (default: all cores)")
    add_options(parser.add_argument_group("model and training"), options)
    return parser


def folder_name(text: str) -> str:
    """Argparse type: the name of one folder."""
    if text in ("", ".", "..") or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a folder")
    return text


if __name__ == "__main__":
    run(main)
