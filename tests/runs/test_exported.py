"""Exported models: every model, where they load, damaged files, and the trained weights that the project ships."""

import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import REPOSITORY, SCRIPTS
from relative_performer import MODELS, build_model, load_model
from relative_performer.config.grid import expand
from relative_performer.config.options import options_of, run_options
from relative_performer.config.validate import read_configs
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.evaluation.test import weights_checksum
from relative_performer.files import checksum
from relative_performer.runs import folders, provenance

TINY = {"dim": 8, "depth": 1, "heads": 2}
SHIPPED = sorted((REPOSITORY / "resources" / "weights").iterdir())


def write_run(run_dir: Path, model: str, **chosen) -> torch.nn.Module:
    """Write the folder of a run of newly initialised weights, and return its model."""
    known = {option.name for option in options_of(model)}
    hparams = run_options(model, {name: value for name, value in (TINY | chosen).items() if name in known})
    own = {option.name: hparams[option.name] for option in MODELS[model].options}
    network = build_model(model, in_features=1, **own).eval()
    content = io.BytesIO()
    torch.save({"state_dict": {f"model.{name}": value for name, value in network.state_dict().items()}}, content)
    (run_dir / folders.BEST).parent.mkdir(parents=True)
    (run_dir / folders.BEST).write_bytes(content.getvalue())
    hparams |= {"model": model, "dataset": "Digits", "data_sha256": "0" * 64}
    (run_dir / folders.HPARAMS).write_text(yaml.safe_dump(hparams))
    return network


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """Run a script in this process as from the command line, in an empty folder, and return what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(script: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        return capsys.readouterr().out

    return call


# VGG16 would be half a gigabyte
@pytest.mark.parametrize("model", [name for name in MODELS if name != "VGG16"])
def test_an_exported_model_is_the_model_of_its_run(call, model):
    network = write_run(Path("logs/main/x"), model, seed=5)
    assert call("export.py", "logs/main/x", "--out", "exported") == "exported: 1 model\n"
    assert sorted(path.name for path in Path("exported").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded, trained = load_model("exported"), load_model("logs/main/x")
    assert not loaded.training
    assert loaded.hparams == trained.hparams | {"data_path": "data", "exported_from": "logs/main/x"}
    assert loaded.hparams["seed"] == 5
    images = torch.rand(3, 16, 16, 1)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))
    assert weights_checksum(loaded) == weights_checksum(trained)
    card = Path("exported/README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "mit"
    assert 'load_model("exported")' in card
    assert f"| Digits | {model} | 1 |" in card


def test_the_card_of_several_runs_has_intervals_over_seeds(call):
    for seed, accuracy in enumerate((0.5, 0.7)):
        write_run(Path(f"results/tiny/runs/main/Performer{seed}"), "Performer", seed=seed)
        metrics = Path(f"results/tiny/runs/main/Performer{seed}", folders.METRICS)
        metrics.write_text(f"epoch,val/acc\n0,{accuracy}\n1,0.25\n")
    write_run(Path("results/tiny/runs/other/NoposPerformer"), "NoposPerformer", limit_val=50)
    Path("results/tiny/runs/other/NoposPerformer", folders.METRICS).write_text("epoch,val/acc\n0,0.9\n")
    call("export.py", *sorted(Path("results/tiny/runs").glob("*/*")), "--out", "all")
    assert len(list(Path("all").glob("*/*/config.json"))) == 3
    card = Path("all/README.md").read_text()
    assert "| Digits | Performer | 2 | 60.00 ± 14.14 [50.00, 70.00] |" in card
    assert "| Digits | NoposPerformer | 1 | 90.00 [78.64, 95.65] |" in card  # Wilson's interval for 45 of 50


def test_an_exported_model_loads_where_only_torch_and_safetensors_are_installed(call, tmp_path):
    write_run(Path("logs/main/x"), "ClippedRelativePerformer", clipping_dist=3)
    call("export.py", "logs/main/x", "--out", "exported")
    allowed, waiting = set(), ["torch", "safetensors"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in allowed:
            allowed.add(name)
            needed = map(Requirement, distribution(name).requires or [])
            waiting += [each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    blocked = sorted(
        module
        for module, owners in packages_distributions().items()
        if allowed.isdisjoint(map(canonicalize_name, owners)) and module not in ("pip", "_distutils_hack")
    )
    assert {"numpy", "pandas", "yaml", "pytorch_lightning", "sklearn", "snakemake", "tqdm"} <= set(blocked)
    code = f"""
import sys
for name in {blocked}:
    sys.modules[name] = None  # an import of it fails
from relative_performer import load_model
import torch
model = load_model("exported")
print(tuple(model(torch.rand(2, 6, 7, 1)).shape), model.hparams["clipping_dist"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"PYTHONPATH": str(SCRIPTS)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("(2, 10) 3\n", 0), done.stderr


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _change(*place: str, value: object):
    def change(path: Path) -> None:
        config = json.loads(path.read_text())
        of = config
        for key in place[:-1]:
            of = of[key]
        of[place[-1]] = value
        path.write_text(json.dumps(config))

    return change


def _other_weights(path: Path) -> None:
    content = safetensors.torch.save({"embedding.weight": torch.zeros(3)})
    path.write_bytes(content)
    config = path.with_name("config.json")
    _change("sha256", value=checksum(path))(config)


CONFIG, WEIGHTS = "config.json", "model.safetensors"
DAMAGES = [  # file, damage, what the error says
    (CONFIG, Path.unlink, "config.json: cannot be read (No such file or directory)"),
    (CONFIG, _truncate, "config.json: cannot be read (Expecting"),
    (CONFIG, lambda path: path.write_bytes(b"\xff\xfe"), "config.json: cannot be read ('utf-8' codec"),
    (CONFIG, lambda path: path.write_text("[" * 100_000), "config.json: cannot be read"),
    (CONFIG, lambda path: path.write_text('{"architectures": ["Bert"]}'), "config.json: was not written by export.py"),
    (CONFIG, lambda path: path.write_text("[1]"), "config.json: was not written by export.py"),
    (CONFIG, _change("format", value=2), "config.json: has the format 2, not 1; use a newer version"),
    (CONFIG, _change("sha256", value="0" * 64), "model.safetensors: cannot be read (its SHA-256 is not the one"),
    (CONFIG, _change("hparams", "model", value="Bert"), "config.json: describes no model (unknown model 'Bert'"),
    (CONFIG, _change("hparams", "dim", value=-8), "config.json: describes no model (dim: '-8' is not an integer"),
    (CONFIG, _change("hparams", "dim", value=16), "model.safetensors: does not fit config.json (size mismatch"),
    (CONFIG, _change("in_features", value=3), "model.safetensors: does not fit config.json (size mismatch"),
    (WEIGHTS, Path.unlink, "model.safetensors: cannot be read (No such file or directory)"),
    (WEIGHTS, _truncate, "model.safetensors: cannot be read (its SHA-256 is not the one"),
    (WEIGHTS, _flip, "model.safetensors: cannot be read (its SHA-256 is not the one"),
    (WEIGHTS, _other_weights, "model.safetensors: does not fit config.json (Missing key"),
]


@pytest.mark.fault(len(DAMAGES) + 4)
def test_damaged_and_foreign_files_are_refused_by_name(call, tmp_path, capsys):
    write_run(Path("logs/main/x"), "Performer")
    call("export.py", "logs/main/x", "--out", "exported")

    def refusal(*words: object) -> str:
        with pytest.raises(SystemExit) as end:
            call(*words)
        said = capsys.readouterr().err
        assert (end.value.code, said.count("\n")) == (2, 1), said
        return said

    for number, (name, damage, text) in enumerate(DAMAGES):
        folder = shutil.copytree("exported", str(number))
        damage(Path(folder, name))
        with pytest.raises(UserError) as error:
            load_model(folder)
        assert f"{folder}/{text}" in str(error.value)
        if "does not fit" not in text and "format" not in text:
            assert "restore it, or export the run again with export.py" in str(error.value)
        assert f"{folder}/{text}" in refusal("test.py", "--output", "x.csv", folder)
    with pytest.raises(UserError, match="nowhere: not a run folder: there is no such folder; name one"):
        load_model("nowhere")
    assert "exported is there already; choose another --out" in refusal("export.py", "logs/main/x", "--out", "exported")
    assert "exported: not a run folder" in refusal("export.py", "exported", "--out", "y")
    write_run(Path("logs/main/y"), "Performer")
    _truncate(Path("logs/main/y", folders.BEST))
    said = refusal("export.py", "logs/main/x", "logs/main/y", "--out", "y")
    assert "logs/main/y/checkpoints/best.ckpt: damaged or no checkpoint" in said
    assert "two runs are called main/x" in refusal("export.py", "logs/main/x", "logs/main/x", "--out", "y")
    assert not list(tmp_path.glob("*y*"))


def test_the_commit_of_a_training_has_its_code(tmp_path, monkeypatch):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init")
    code, commits = [], []
    for text in ("one", "two"):
        (tmp_path / "model.py").write_text(text)
        (tmp_path / "docs.md").write_text(text)
        git("add", ".")
        git("commit", "--message", text)
        code.append((("model.py", checksum(tmp_path / "model.py")),))
        commits.append(git("rev-parse", "HEAD"))
    (tmp_path / "docs.md").write_text("three")
    git("commit", "--all", "--message", "another file")
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path)
    assert [provenance.commit_of(each) for each in code] == commits
    assert provenance.commit_of((("model.py", "0" * 64),)) is None
    assert provenance.commit_of((*code[0], ("other.py", "0" * 64))) is None


@pytest.mark.parametrize("weights", SHIPPED, ids=lambda path: path.name)
def test_shipped_weights_are_those_of_the_reference_results(weights):
    runs = expand(read_configs([REPOSITORY / "config" / f"{weights.name}.yaml"]))
    assert {path.parent.parts[-2:] for path in weights.glob("*/*/config.json")} == runs.keys()
    reference = pd.read_csv(REPOSITORY / "resources" / "reference" / weights.name / "model_evaluations.csv")
    reference = reference.set_index("run_dir")
    card = (weights / "README.md").read_text()
    for (experiment, name), options in runs.items():
        model = load_model(weights / experiment / name)
        assert options.items() <= model.hparams.items()
        recorded = reference.loc[model.hparams["exported_from"]]
        assert model.hparams["exported_from"] == f"results/{weights.name}/runs/{experiment}/{name}"
        assert weights_checksum(model) == recorded["weights_sha256"]
        assert model.hparams["data_sha256"] == recorded["data_sha256"]
        config = json.loads((weights / experiment / name / CONFIG).read_text())
        assert re.fullmatch("[0-9a-f]{40}", config["commit"])
        assert config["commit"] in card
        assert config["classes"] == list(DATASETS[options["dataset"]].classes)
