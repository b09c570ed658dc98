"""The commands as a user calls them: run folders, CSV files, resuming and error messages."""

import csv
import json
import multiprocessing
import os
import pickle
import re
import runpy
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from helpers import GOLDEN, RIVALS, SCRIPTS
from relative_performer import build_model, load_model
from relative_performer.data import DATASETS
from relative_performer.data.archives import prepare
from relative_performer.data.prepared import load, save
from relative_performer.errors import UserError
from relative_performer.models import MODELS
from relative_performer.runs import folders
from relative_performer.runs.authors import rename
from relative_performer.runs.checkpoints import read_checkpoint
from relative_performer.runs.progress import describe
from relative_performer.training.classifier import learning_rate_factor

SIZES = ("--dim", 8, "--depth", 1, "--heads", 2, "--batch_size", 8)
SMALL = (*SIZES, "--limit_train", 32, "--limit_val", 16, "--threads", 1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """A folder with the prepared Digits."""
    folder = tmp_path_factory.mktemp("data")
    save(prepare(DATASETS["Digits"], folder), folder / "Digits.npz")
    return folder


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run a script in this process as from the command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(script: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")

    return call


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path, name: str = folders.LAST) -> dict[str, torch.Tensor]:
    return read_checkpoint(run_dir / name)["state_dict"]


def summary_of(run_dir: Path) -> dict[str, object]:
    """Return a run's summary without its peak memory, which is that of the last process."""
    summary = json.loads((run_dir / folders.SUMMARY).read_text())
    del summary["peak_bytes"]
    return summary


def assert_same_weights(a: Path, b: Path) -> None:
    for name in (folders.BEST, folders.LAST):
        ours, theirs = weights(a, name), weights(b, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_train_and_test(call, digits, tmp_path):
    for model in ("RelativePerformer", "ClippedRelativePerformer"):
        call("train.py", *SMALL, "--max_epochs", 2, "--data_path", digits, model, "Digits")
    run_dir = tmp_path / "lightning_logs" / "default" / "version_0"
    hparams = yaml.safe_load((run_dir / "hparams.yaml").read_text())
    assert hparams["model"] == "RelativePerformer"
    assert {"pos_scales", "content_rel_attn", "learning_rate", "seed", "data_sha256", "threads"} <= hparams.keys()
    assert [row["epoch"] for row in read(run_dir / "metrics.csv")] == ["0", "1"]
    assert read(run_dir / "metrics.csv")[0].keys() == {
        "epoch",
        "step",
        *(f"{s}/{m}" for s in ("train", "val") for m in ("loss", "acc")),
    }
    assert list(run_dir.glob("events.out.tfevents.*"))

    call("test.py", "--output", "one.csv", run_dir)
    call("test_recursive.py", "--output", "all.csv", "lightning_logs")
    one, every = read(tmp_path / "one.csv"), read(tmp_path / "all.csv")
    assert every[0]["test/acc"] == one[0]["test/acc"]
    assert [row["model"] for row in every] == ["RelativePerformer", "ClippedRelativePerformer"]
    assert (one[0]["val_images"], one[0]["test_images"], one[0]["images_seen"]) == ("250", "250", "64")
    published = "experiment,model,dataset,embedding_type,dim,depth,heads,pos_scales,clipping_dist,content_rel_attn,"
    published += "feature_redraw_interval,learning_rate,schedule,warmup,batch_size,val/loss,val/acc,test/loss,test/acc,"
    assert (tmp_path / "all.csv").read_text().startswith(published + "n_parameters,")

    # every image counts, the last partial batch too
    own = {option.name: hparams[option.name] for option in MODELS["RelativePerformer"].options}
    model = build_model("RelativePerformer", in_features=1, **own)
    model.load_state_dict({key.removeprefix("model."): value for key, value in weights(run_dir, folders.BEST).items()})
    arrays = load(DATASETS["Digits"], digits)
    images = torch.from_numpy(arrays["test_images"]) / 255 * 2 - 1
    with torch.no_grad():
        predicted = torch.cat([model.eval()(batch).argmax(1) for batch in images.split(8)]).numpy()
        torch.testing.assert_close(load_model(run_dir)(images[:8]), model(images[:8]))
    assert float(one[0]["test/acc"]) == pytest.approx((predicted == arrays["test_labels"]).mean(), abs=1e-6)

    call(
        "test_shifted.py",
        "--min_shift",
        2,
        "--labels",
        1,
        7,
        "--output",
        "shift.csv",
        run_dir,
        run_dir.with_name("version_1"),
    )
    shifted = read(tmp_path / "shift.csv")
    assert list(shifted[0]) == ["run_dir", "shift", "accuracy_mean", "accuracy_std", "loss_mean", "loss_std"]
    assert [row["shift"] for row in shifted] == 2 * ["-2", "-1", "0", "1", "2"]


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        ("Performer", "32-true"),
        ("ClippedRelativePerformer", "32-true"),
        ("ClippedRelativePerformer", "bf16-mixed"),
        ("RelativePerformer", "bf16-mixed"),
    ],
)
def test_same_seed_same_weights(call, digits, model, precision):
    train = ["train.py", *SMALL, "--max_epochs", 2, "--precision", precision, "--data_path", digits, "--exp_name"]
    call(*train, "a", model, "Digits")
    call(*train, "b", model, "Digits")
    call(*train, "c", "--seed", 1, model, "Digits")
    a, b, c = (Path("lightning_logs") / name / "version_0" for name in "abc")
    assert_same_weights(a, b)
    assert (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()
    assert not torch.equal(weights(a)["model.head.weight"], weights(c)["model.head.weight"])


def test_two_processes_or_parts_train_as_one_does(call, digits, tmp_path):
    """Batches of 7 are uneven for two, and the last, of one image, has none for the second."""
    train = ["--dim", 8, "--depth", 1, "--heads", 2, "--batch_size", 7, "--limit_train", 36, "--limit_val", 15]
    train += ["--attn_dropout", 0, "--ff_dropout", 0, "--key_stabilizer", "head"]
    train += ["--threads", 1, "--max_epochs", 2, "--data_path", digits, "--accelerator", "cpu", "--learning_rate", 0.01]
    train += ["Performer", "Digits"]
    call("train.py", "--version", "one", *train)
    command = [sys.executable, SCRIPTS / "train.py", "--version", "two", "--devices", 2, *train]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    call("train.py", "--version", "parts", "--accumulate_grad_batches", 2, *train)
    one, *others = (Path("lightning_logs/default") / version for version in ("one", "two", "parts"))
    for other in others:
        for ours, theirs in zip(read(one / folders.METRICS), read(other / folders.METRICS), strict=True):
            assert list(map(float, theirs.values())) == pytest.approx(list(map(float, ours.values())), rel=1e-5)
        assert folders.read_summary(one)["images_seen"] == folders.read_summary(other)["images_seen"] == 72
        assert folders.read_summary(one)["steps"] == folders.read_summary(other)["steps"] == 12


@pytest.mark.fault
def test_killed_training_resumes_as_if_never_interrupted(call, digits):
    train = ["train.py", *SMALL, "--max_epochs", "4", "--data_path", digits, "--version", "x", "--ff_dropout", "0.5"]
    train += ["--feature_redraw_interval", "3", "Performer", "Digits"]
    call(*train, "--exp_name", "whole")
    killed = Path("lightning_logs/killed/x")
    command = [sys.executable, SCRIPTS / train[0], *map(str, train[1:]), "--exp_name", "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch 1"):
                training = describe(killed, time.time())
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / folders.SUMMARY).exists()
    assert (training["state"], describe(killed, time.time())["state"]) == ("running", "interrupted")
    call(*train, "--exp_name", "killed")
    assert describe(killed, time.time())["state"] == "finished"
    assert not (killed / folders.PROGRESS).exists()
    assert_same_weights(Path("lightning_logs/whole/x"), killed)
    assert (killed / "metrics.csv").read_bytes() == Path("lightning_logs/whole/x/metrics.csv").read_bytes()


@pytest.mark.fault
@pytest.mark.parametrize("limit", [("--max_epochs", 2), ("--max_steps", 6)])
def test_killed_between_the_last_epoch_and_the_summary(call, digits, limit):
    train = ["train.py", *SMALL, *limit, "--data_path", digits, "--version", "x", "Performer", "Digits"]
    call(*train)
    run_dir = Path("lightning_logs/default/x")
    whole, summary = weights(run_dir), summary_of(run_dir)
    (run_dir / folders.LAST).rename(run_dir / folders.RESUME)
    (run_dir / folders.SUMMARY).unlink()
    call(*train)
    assert all(torch.equal(value, whole[name]) for name, value in weights(run_dir).items())
    assert summary_of(run_dir) == summary


def test_a_finished_training_without_its_summary_is_repeated_only_for_other_code(call, digits):
    train = ["train.py", *SMALL, "--max_epochs", 2, "--data_path", digits, "--version", "x", "Performer", "Digits"]
    call(*train)
    run_dir = Path("lightning_logs/default/x")
    best, summary = (run_dir / folders.BEST).stat().st_mtime_ns, summary_of(run_dir)
    (run_dir / folders.SUMMARY).unlink()
    call(*train)
    assert (run_dir / folders.BEST).stat().st_mtime_ns == best
    assert summary_of(run_dir) == summary
    call(*train, "--wait")
    (run_dir / folders.SUMMARY).unlink()
    hparams = run_dir / folders.HPARAMS
    hparams.write_text(hparams.read_text().replace("code_sha256: ", "code_sha256: other"))
    call(*train)
    assert (run_dir / folders.BEST).stat().st_mtime_ns != best


def test_a_second_training_waits_for_the_first(call, digits):
    train = ["train.py", *SMALL, "--max_epochs", 2, "--data_path", digits, "--version", "x", "Performer", "Digits"]
    command = [sys.executable, SCRIPTS / train[0], *map(str, train[1:])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline().startswith("training")
        first.send_signal(signal.SIGSTOP)
        with subprocess.Popen([*command, "--wait"], stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout
            assert second.stdout.readline().endswith("another process is training this run; waiting for it\n")
            first.send_signal(signal.SIGCONT)
            said = second.stdout.read()
    assert (first.returncode, second.returncode) == (0, 0)
    assert re.fullmatch(r"lightning_logs/default/x: best epoch \d of 2, \d s\n", said)


def test_max_steps_ends_with_a_tested_model(call, digits):
    call("train.py", *SMALL, "--max_steps", 6, "--data_path", digits, "NoposPerformer", "Digits")
    rows = read(Path("lightning_logs/default/version_0/metrics.csv"))
    assert [row["step"] for row in rows] == ["4", "6"]
    assert Path("lightning_logs/default/version_0", folders.BEST).exists()


def test_a_baseline_by_its_own_protocol(call, digits):
    """The last epoch is tested although an earlier one was better. The last batch, of one image, is left out."""
    train = ["train.py", "--threads", 1, "--data_path", digits, "--batch_size", 16, "--limit_train", 33]
    train += ["--limit_val", 16, "--max_epochs", 3, "--patience", 0, "--gradient_clip_norm", 0, "--beta2", 0.999]
    call(*train, "--test_checkpoint", "last", "--learning_rate", 1, "AlexNet", "Digits")
    call(*train, "ResNet18", "Digits")
    run_dirs = [Path("lightning_logs/default", f"version_{number}") for number in (0, 1)]
    assert [len(read(run_dir / "metrics.csv")) for run_dir in run_dirs] == [3, 3]
    assert read(run_dirs[1] / "metrics.csv")[-1]["step"] == "6"
    assert set(weights(run_dirs[0])) == set(weights(run_dirs[0], folders.BEST))
    (run_dirs[0] / folders.BEST).unlink()
    call("test_recursive.py", "--limit_test", 8, "--output", "all.csv", "lightning_logs")
    call("test_shifted.py", "--min_shift", 1, "--limit_test", 8, "--output", "shift.csv", run_dirs[1])
    rows = read(Path("all.csv"))
    assert [(row["model"], row["embedding_type"], row["test_checkpoint"]) for row in rows] == [
        ("AlexNet", "", "last"),
        ("ResNet18", "", "best"),
    ]


def test_deterministic_algorithms_have_the_same_result_on_a_cpu(call, digits):
    for version, more in (("plain", []), ("deterministic", ["--deterministic"])):
        train = [*SMALL, "--max_epochs", 1, "--limit_train", 32, "--data_path", digits, "--version", version, *more]
        call("train.py", *train, "ClippedRelativePerformer", "Digits")
        assert torch.are_deterministic_algorithms_enabled() == bool(more)
    runs = [Path("lightning_logs/default", version) for version in ("plain", "deterministic")]
    assert (runs[0] / "metrics.csv").read_bytes() == (runs[1] / "metrics.csv").read_bytes()
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("patience", [0, 1])
def test_patience(call, digits, patience):
    rate = ("--learning_rate", "1e-12", "--max_epochs", 4)
    call("train.py", *SMALL, *rate, "--patience", patience, "--data_path", digits, "NoposPerformer", "Digits")
    assert len(read(Path("lightning_logs/default/version_0/metrics.csv"))) == (2 if patience else 4)


def test_runs_older_than_an_option_have_its_default(call, digits):
    call("train.py", *SMALL, "--max_epochs", 1, "--data_path", digits, "NoposPerformer", "Digits")
    path = Path("lightning_logs/default/version_0", folders.HPARAMS)
    hparams = yaml.safe_load(path.read_text())
    path.write_text(
        yaml.safe_dump({key: hparams[key] for key in hparams if key not in ("test_checkpoint", "patience", "beta2")})
    )
    call("test.py", "--limit_test", 8, "--output", "x.csv", path.parent)
    assert [read(Path("x.csv"))[0][key] for key in ("test_checkpoint", "patience", "beta2")] == ["best", "20", "0.98"]


def _take(folder: Path) -> str:
    return folders.next_version(folder).name


def test_runs_started_at_once_get_different_folders(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        names = pool.map(_take, [tmp_path] * 40, chunksize=1)
    assert sorted(names) == sorted(f"version_{number}" for number in range(40))


def test_a_run_folder_has_one_writer_and_resumes_only_with_the_same_options(tmp_path):
    hparams = {"model": "Performer", "dim": 8, "data_sha256": "0"}
    with folders.open_run(tmp_path, "x", hparams) as (run_dir, resume):
        assert not resume
        with pytest.raises(UserError, match="another process"), folders.open_run(tmp_path, "x", hparams):
            pass
        (run_dir / "checkpoints").mkdir()
        (run_dir / folders.RESUME).touch()
    with folders.open_run(tmp_path, "x", {**hparams, "threads": 3}) as (_, resume):
        assert resume
    with folders.open_run(tmp_path, "x", {**hparams, "dim": 16}) as (_, resume):
        assert not resume
        assert not (run_dir / folders.RESUME).exists()
        (run_dir / "checkpoints").mkdir()
        (run_dir / folders.RESUME).touch()
        folders.finish_run(run_dir, {})
    with pytest.raises(UserError, match="finished"), folders.open_run(tmp_path, "x", hparams):
        pass


def test_help_lists_only_the_options_of_the_model(call, capsys):
    texts = {}
    for words in (["Performer"], ["RelativePerformer"], ["--exp_name", "Performer", "ClippedRelativePerformer"], []):
        with pytest.raises(SystemExit) as end:
            call("train.py", *words, *(["MNIST"] if words else []), "--help")
        assert end.value.code == 0
        texts[words[-1] if words else "all"] = capsys.readouterr().out
    assert "--feature_redraw_interval" in texts["Performer"]
    assert "--pos_scales" not in texts["Performer"]
    assert "--content_rel_attn" in texts["RelativePerformer"]
    assert "--clipping_dist" in texts["ClippedRelativePerformer"]
    assert "--no_projection" not in texts["ClippedRelativePerformer"]
    assert "--clipping_dist" in texts["all"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train.py", "required: MODEL, DATASET"),
        ("train.py Perfomer MNIST", "unknown model 'Perfomer': choose from Performer, .*; did you mean Performer"),
        ("train.py Performer MINST", "unknown dataset 'MINST': .*did you mean MNIST"),
        ("train.py Performer MNIST --clipping_dist 3", "Performer has no option --clipping_dist"),
        ("train.py AlexNet MNIST --embedding_type MLP", "AlexNet has no option --embedding_type"),
        ("train.py ResNet18 MNIST --batch_size 1", "batch_size 1 leaves ResNet18's"),
        ("train.py Performer MNIST --gradient_clip_norm -1", "'-1' is not a number of at least 0"),
        ("train.py Performer MNIST --dim 0", "'0' is not an integer from 1 to 16384"),
        ("train.py Performer MNIST --dim 30", "dim 30 is not divisible by heads 4"),
        ("train.py Performer MNIST --learning_rate nan", "'nan' is not a number above 0"),
        ("train.py Performer MNIST --attn_dropout 1", "'1' is not a number from 0 to below 1"),
        ("train.py Performer MNIST --embedding_type Linear", "did you mean linear"),
        ("train.py Performer MNIST --tested last", "no option --tested; tested is now called test_checkpoint"),
        ("train.py Performer MNIST --version a/b", "not the name of a folder"),
        ("train.py Performer MNIST", "MNIST.npz is missing; make it with: .*prepare_data.py MNIST"),
        ("test.py --output x.csv nowhere", "nowhere: not a run folder"),
        ("test.py nowhere", "required: --output"),
        ("test_recursive.py --output x.csv nowhere", "no run at or below nowhere"),
        ("test_shifted.py --output x.csv --min_shift 0 nowhere", "'0' is not an integer from 1 to 15"),
        ("test_shifted.py --output x.csv --labels 10 -- nowhere", "'10' is not a class from 0 to 9"),
        ("import_checkpoint.py nowhere --out x", "nowhere: not a run folder"),
        ("status.py nowhere", "nowhere: no such folder or configuration"),
    ],
)
def test_mistakes_are_reported_in_one_line(call, capsys, line, said):
    with pytest.raises(SystemExit) as end:
        call(*line.split())
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert message.count("\n") == 1
    assert __import__("re").search(said, message), message


def test_shift_that_does_not_fit(call, capsys, digits):
    call("train.py", *SMALL, "--max_epochs", 1, "--data_path", digits, "NoposPerformer", "Digits")
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        call("test_shifted.py", "--min_shift", 15, "--output", "x.csv", "lightning_logs/default/version_0")
    assert end.value.code == 2
    assert "has 15 free columns on both sides; choose a smaller --min_shift" in capsys.readouterr().err


class _Runs:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.fault
@pytest.mark.parametrize("content", [{"state_dict": {}, "x": _Runs()}, b"\x80\x02nonsense", None])
def test_bad_checkpoints_are_refused_by_name(call, capsys, digits, content):
    call("train.py", *SMALL, "--max_epochs", 1, "--data_path", digits, "NoposPerformer", "Digits")
    best = Path("lightning_logs/default/version_0", folders.BEST)
    if isinstance(content, dict):
        torch.save(content, best)
    else:
        best.write_bytes(content or best.read_bytes()[:-1000])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        call("test.py", "--output", "x.csv", best.parent.parent)
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert message.count("\n") == 1
    assert str(best) in message
    assert not Path("executed").exists()
    assert not Path("x.csv").exists()


def write_theirs(folder: Path, hparams: dict, state: dict[str, torch.Tensor]) -> Path:
    """Write a run folder of the authors, its checkpoint in the full form of Lightning 1.1 with a newer fsspec."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hparams.yaml").write_text(yaml.safe_dump(hparams))
    names = {"ModelCheckpoint": "callbacks.model_checkpoint", "EarlyStopping": "callbacks.early_stopping"}
    legacy = {name: type(name, (), {"__module__": f"pytorch_lightning.{place}"}) for name, place in names.items()}
    dicts = type("AttributeDict", (dict,), {"__module__": "pytorch_lightning.utilities.parsing"})
    score = torch.tensor(0.5)
    kept = {"monitor": "val/acc", "best_model_score": score, "best_model_path": "x.ckpt", "current_score": score}
    adam = {"state": {0: {"step": 3, "exp_avg": score}}, "param_groups": [{"lr": 5e-5, "params": [0]}]}
    checkpoint = {
        "epoch": 3,
        "global_step": 30,
        "pytorch-lightning_version": "1.1.8",
        "callbacks": {
            legacy["ModelCheckpoint"]: kept | {"dirpath": folder / "checkpoints"},
            legacy["EarlyStopping"]: {"wait_count": 0, "stopped_epoch": 0, "best_score": score, "patience": 20},
        },
        "optimizer_states": [adam],
        "lr_schedulers": [{"base_lrs": [5e-5], "last_epoch": 30}],
        "native_amp_scaling_state": {"scale": 65536.0, "growth_factor": 2.0},
        "amp_scaling_state": {"loss_scaler0": {"loss_scale": 65536.0, "unskipped": 0}},
        "hparams_name": "kwargs",
        "hyper_parameters": dicts(hparams),
        "state_dict": state,
    }
    torch.save(checkpoint, folder / "checkpoints" / "epoch=3.ckpt", pickle_module=_NamesOnly)
    return folder


def golden(name: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """The options and the state dict of a reference output."""
    file = np.load(GOLDEN / f"{name}.npz")
    state = {key[6:]: torch.from_numpy(file[key]) for key in file.files if key.startswith("state/")}
    return yaml.safe_load(str(file["hparams"])) | {"dataset": "Digits"}, state


def test_import_of_the_authors_runs(call, digits, tmp_path, capsys):
    hparams, state = golden("relative_linear_mnist")
    theirs = write_theirs(tmp_path / "theirs", hparams | {"content_rel_attn": True, "seed": 2**32 - 1}, state)
    call("import_checkpoint.py", theirs, "--out", "ours")
    assert "imported as the model without it" in capsys.readouterr().out
    model_state = weights(Path("ours"), folders.BEST)
    torch.testing.assert_close(model_state["model.head.weight"], state["output_layer.weight"])
    call("test.py", "--data_path", digits, "--limit_test", 8, "--output", "x.csv", "ours")
    row = read(Path("x.csv"))[0]
    assert (row["content_rel_attn"], row["seed"]) == ("False", str(2**32 - 1))
    with pytest.raises(SystemExit):
        call("import_checkpoint.py", theirs, "--out", "ours")
    assert "is there already" in capsys.readouterr().err


def test_import_of_a_run_whose_content_rel_attn_reached_its_layers(call, tmp_path):
    hparams, state = golden("relative_linear_mnist")
    hparams |= {"content_rel_attn": True}
    declared = MODELS["RelativePerformer"]
    options = {option.name: hparams[option.name] for option in declared.options if option.name in hparams}
    model = build_model("RelativePerformer", in_features=1, **options).eval()
    values = model.state_dict()
    theirs = {name: values.get(rename(name, declared.authors_parameters), value) for name, value in state.items()}
    for layer in range(hparams["depth"]):
        for kind in ("weight", "bias"):
            name = f"performer.net.layers.{layer}.0.fn.to_q.content_to_rel_matrix.{kind}"
            theirs[name] = values[f"blocks.{layer}.attention.content_rotation.{kind}"]
    call("import_checkpoint.py", write_theirs(tmp_path / "theirs", hparams, theirs), "--out", "x")
    images = torch.rand(2, 6, 7, 1)
    torch.testing.assert_close(load_model("x")(images), model(images))


def test_ranks_of_a_launcher_do_not_silence_a_training_on_one_device(call, digits):
    train = [*SMALL, "--max_epochs", 1, "--data_path", digits, "--version", "x", "NoposPerformer", "Digits"]
    ranks = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "3", "TORCHELASTIC_RUN_ID": "none"}
    command = [sys.executable, SCRIPTS / "train.py", *map(str, train)]
    subprocess.run(command, env=os.environ | ranks, check=True, capture_output=True)
    assert list(Path("lightning_logs/default/x").glob("events.out.tfevents.*"))
    assert Path("lightning_logs/default/x", folders.SUMMARY).exists()


class _NamesOnly:
    """A pickle module that writes classes by name without checking that they can be imported."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            module = obj.__module__
            self.write(pickle.GLOBAL + f"{module}\n{name or obj.__qualname__}\n".encode())
            self.memoize(obj)

        dispatch = pickle._Pickler.dispatch | {type: save_global}


def test_learning_rate_schedules():
    assert [learning_rate_factor("constant", 0, step) for step in (0, 9)] == [1, 1]
    assert [learning_rate_factor("constant", 4, step) for step in (0, 1, 4, 99)] == [0, 0.25, 1, 1]
    assert [learning_rate_factor("noam", 4, step) for step in (0, 2, 4, 16)] == [0, 0.5, 1, 0.5]


def test_a_run_is_not_tested_on_other_data_than_it_was_trained_on(call, digits, tmp_path, capsys):
    call("train.py", *SMALL, "--max_epochs", 1, "--data_path", digits, "--version", "x", "Performer", "Digits")
    arrays = load(DATASETS["Digits"], digits)
    save(arrays | {"test_labels": arrays["test_labels"][::-1]}, tmp_path / "other" / "Digits.npz")
    with pytest.raises(SystemExit) as stop:
        call("test.py", "--output", "x.csv", "--data_path", tmp_path / "other", "lightning_logs/default/x")
    assert stop.value.code == 2
    assert "Digits.npz is not what lightning_logs/default/x was trained on" in capsys.readouterr().err
    assert not Path("x.csv").exists()


def test_without_positions_circular_shifts_change_nothing(call, digits):
    train = ["--dim", 8, "--depth", 1, "--heads", 2, "--key_stabilizer", "head", "--max_epochs", 1, "--limit_train", 8]
    call("train.py", *train, "--data_path", digits, "--version", "x", "NoposPerformer", "Digits")
    shifted = ["--labels", *range(10), "--min_shift", 2, "--axis", "both", "--circular", "--limit_test", 8]
    call("test_shifted.py", *shifted, "--output", "x.csv", "lightning_logs/default/x")
    rows = read(Path("x.csv"))
    assert [(int(row["row_shift"]), int(row["shift"])) for row in rows] == list(product(range(-2, 3), repeat=2))
    losses = [float(row["loss_mean"]) for row in rows]
    assert losses == pytest.approx([losses[0]] * 25, rel=1e-5)


def test_a_redraw_changes_only_models_with_random_features(call, digits):
    train = ["--max_epochs", 1, "--limit_train", 8, "--data_path", digits]
    size = ["--dim", 8, "--depth", 1, "--heads", 2]
    call("train.py", *size, *train, "--version", "random", "RelativePerformer", "Digits")
    call("train.py", *size, *train, "--version", "exact", "--no_projection", "RelativePerformer", "Digits")
    call("train.py", *train, "--version", "baseline", "LinformerViT", "Digits")
    runs = [f"lightning_logs/default/{name}" for name in ("random", "exact", "baseline")]
    call("test_redrawn.py", "--limit_test", 8, "--output", "redrawn.csv", *runs)
    losses = {run: [] for run in runs}
    for row in read(Path("redrawn.csv")):
        assert int(row["draw"]) == len(losses[row["run_dir"]])
        losses[row["run_dir"]].append(row["loss_mean"])
    assert [len(set(found)) for found in losses.values()] == [4, 1, 1]
    call("test.py", "--limit_test", 8, "--output", "test.csv", runs[0])
    assert losses[runs[0]][0] == read(Path("test.csv"))[0]["test/loss"]


def test_causes_of_missing_equivariance(call, digits):
    size = ["--dim", 16, "--depth", 1, "--heads", 2, "--max_epochs", 1, "--limit_train", 64, "--threads", 1]
    own = {
        "NoposPerformer": [],
        "RelativePerformer": ["--pos_scales", 1],
        "ClippedRelativePerformer": [],
        "Performer": [],
        # in the last block the class token is the only query, which sees no places: one more block
        **{model: ["--depth", 2] for model in RIVALS},
    }
    changes, csvs = {}, []
    for model, options in own.items():
        call("train.py", *size, *options, "--data_path", digits, "--version", model, model, "Digits")
        measured = ["--min_shift", 3, "--limit_test", 24, "--threads", 1]
        call("equivariance.py", *measured, "--output", f"{model}.csv", f"lightning_logs/default/{model}")
        changes[model] = pd.read_csv(f"{model}.csv")
        csvs.append(f"{model}={model}.csv")
    largest = {model: rows[rows["shift"].abs() == 3] for model, rows in changes.items()}
    mean = {model: rows.groupby(["variant", "multiple"])["change_mean"].mean() for model, rows in largest.items()}
    assert changes["NoposPerformer"]["consistency"].min() == 1
    assert mean["NoposPerformer"].max() < 1e-3  # rounding
    assert mean["Performer"]["exact softmax", 1] > 0.05
    relative = mean["RelativePerformer"]
    assert relative["exact softmax", 1] < relative["as trained", 1] / 3
    assert relative["redrawn", 16] < relative["redrawn", 1] / 2
    around = {model: rows[rows["variant"] == "circular shifts"] for model, rows in changes.items()}
    assert all(list(rows["shift"]) == list(range(-8, 8)) for rows in around.values())
    for model in ("NoposPerformer", *RIVALS):
        assert around[model]["change_mean"].max() < 1e-3  # rounding
    assert around["Performer"]["change_mean"].max() > 0.05
    call("plot_equivariance.py", *csvs, "--name", "equivariance", "--out", ".")
    assert Path("equivariance.png").read_bytes().startswith(b"\x89PNG")


def test_equivariance_of_a_baseline_and_of_random_weights(call, digits):
    train = ["--max_epochs", 1, "--limit_train", 16, "--limit_val", 8, "--data_path", digits, "--version", "x"]
    call("train.py", *train, "AlexNet", "Digits")
    measured = ["--min_shift", 3, "--limit_test", 4, "--threads", 1, "lightning_logs/default/x"]
    call("equivariance.py", "--output", "trained.csv", *measured)
    call("equivariance.py", "--output", "random.csv", "--random_weights", *measured)
    trained, random = pd.read_csv("trained.csv"), pd.read_csv("random.csv")
    assert list(trained["variant"].unique()) == list(random["variant"].unique()) == ["as trained", "circular shifts"]
    assert trained["change_mean"].max() > 0.05
    assert (trained["change_mean"] != random["change_mean"]).any()
    circular = trained[(trained["variant"] == "circular shifts") & (trained["shift"].abs() <= 3)]
    plain = trained[trained["variant"] == "as trained"]
    assert list(circular["change_mean"]) == list(plain["change_mean"])  # images with room are moved alike
    call("plot_equivariance.py", "AlexNet=trained.csv", "--name", "equivariance", "--out", ".")
    assert Path("equivariance.png").read_bytes().startswith(b"\x89PNG")
