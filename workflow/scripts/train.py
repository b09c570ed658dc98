"""Train one model on one dataset."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from relative_performer.cli import ArgumentParser, UserError, choice, integer, nearest, run
from relative_performer.names import DATASETS, MODELS
from relative_performer.options import MODEL_OPTIONS, TRAINING_OPTIONS, Option, add_options, check_sizes, options_of

EPILOG = """\
examples:
  train.py Performer MNIST --help                      the options of this model alone
  train.py RelativePerformer Digits --dim 32 --depth 2 --max_epochs 10
  train.py --exp_name mine --version first ClippedRelativePerformer FashionMNIST --clipping_dist 4

A run lands in LOG_PATH/EXP_NAME/VERSION: hparams.yaml with every option, checkpoints/best.ckpt (highest val/acc) and
last.ckpt, metrics.csv with a row per epoch, TensorBoard events, and at the end summary.json. Training stops when
val/acc has not risen for PATIENCE epochs. The same command with the same --version resumes an interrupted run: from its
last whole epoch if it was killed, and from the last step if SIGTERM, SIGUSR1 or ctrl-C stopped it (exit code 75).
A run has one writer at a time: a second command is refused, or waits (--wait).
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
        check_sizes(hparams["model"], hparams)
    except ValueError as error:
        raise UserError(str(error)) from None

    # only now: torch takes seconds to import, which help and errors need not wait for
    import torch

    from relative_performer.data import load
    from relative_performer.devices import device_name, hold_gpus, pick_device, set_threads
    from relative_performer.faults import failure_noted, told
    from relative_performer.provenance import code_checksum, record_attempt
    from relative_performer.runs import CODE, checksum, open_run, read_summary
    from relative_performer.training import train

    device = pick_device(hparams["accelerator"], hparams["devices"])
    hparams["accelerator"] = device.type
    set_threads(hparams["threads"])
    arrays = load(hparams["dataset"], data_path)
    hparams["data_sha256"] = checksum(data_path / f"{hparams['dataset']}.npz")
    hparams["threads"] = torch.get_num_threads()
    hparams[CODE] = code_checksum()
    with open_run(log_path / exp_name, version, hparams, wait) as (run_dir, resume):
        summary = read_summary(run_dir)
        if not summary:
            with hold_gpus(device, hparams["devices"]), failure_noted(run_dir), told(run_dir):
                record_attempt(run_dir)
                where = f"{device_name(device)}, {hparams['threads']} CPU threads, {hparams['precision']}"
                print(f"{'resuming' if resume else 'training'} {run_dir} on {where}", flush=True)
                summary = train(run_dir, resume, hparams, arrays)
    print(f"{run_dir}: best epoch {summary['best_epoch']} of {summary['epochs']}, {summary['seconds']:.0f} s")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line with the options of the model that it names."""
    finder = build_parser(MODEL_OPTIONS + TRAINING_OPTIONS)
    finder.add_argument("words", nargs="*")
    words = finder.parse_known_intermixed_args([word for word in argv if word not in ("-h", "--help")])[0].words
    model = next((word for word in words if word in MODELS), None)
    parser = build_parser(options_of(model) if model else MODEL_OPTIONS + TRAINING_OPTIONS)
    parser.add_argument("model", type=choice("model", MODELS), metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("dataset", type=choice("dataset", DATASETS), metavar="DATASET", help=", ".join(DATASETS))
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(f"{model} has no option {unknown[0]}: {nearest(unknown[0], parser.option_names())}")
    return arguments


def build_parser(options: Iterable[Option]) -> ArgumentParser:
    """The command line with the given options of model and training, without MODEL and DATASET."""
    parser = ArgumentParser(usage="%(prog)s [options] MODEL DATASET", description=__doc__, epilog=EPILOG)
    place = parser.add_argument_group("where the run lands and where the data are")
    place.add_argument("--log_path", type=Path, default=Path("lightning_logs"), help="default lightning_logs")
    place.add_argument("--exp_name", type=folder_name, default="default", help="default default")
    place.add_argument("--version", type=folder_name, help="default version_X, X counting up")
    wait_help = "when another process trains this run wait for it, and take its result if the options are the same"
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
