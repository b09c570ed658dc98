"""Wrong configurations and command lines: each is refused in one line with key, value and what is allowed."""

import io
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import REPOSITORY, csv, run_row
from relative_performer.config.grid import MOST_RUNS, arguments, expand
from relative_performer.config.options import OPTIONS
from relative_performer.config.validate import check_config, merge, read_configs
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.models import MODELS
from train import parse

SCRIPTS = REPOSITORY / "workflow" / "scripts"
pytestmark = pytest.mark.fault
GOOD = "name: x\nexperiments: {a: {dataset: Digits, models: {Performer: {dim: 8, heads: 2}}}}\n"
OWN = "experiments: {a: {models: {Performer: {%s}}}}"
ALL = "experiments: {a: {%s}}"


def laughs(key: str) -> str:
    """Return YAML of ten lists, each of which repeats the previous one ten times."""
    lines = ["a: &a [x]"] + [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefghij")]
    return "\n".join([*lines, f"{key}: *j"])


LONG = (
    "accumulate_grad_batches",
    "warmup",
    "max_epochs",
    "max_steps",
    "limit_train",
    "limit_val",
    "batch_size",
    "patience",
)
WRONG = {
    # files
    "": "wrong.yaml is empty, not a mapping",
    "# nothing but a comment\n": "wrong.yaml is empty, not a mapping",
    "- a\n": "wrong.yaml holds a list, not a mapping",
    "just words\n": "wrong.yaml holds text, not a mapping",
    "3\n": "wrong.yaml holds an integer, not a mapping",
    "name: x\n\tthreads: 1\n": "wrong.yaml: line 2: found character '\\t' that cannot start any token",
    "name: [x\n": "wrong.yaml: line 2: expected ',' or ']'",
    "name: x: y\n": "wrong.yaml: line 1: mapping values are not allowed here",
    "name: 'x\n": "wrong.yaml: line 2: found unexpected end of stream",
    "name: *x\n": "wrong.yaml: line 1: found undefined alias",
    "name: x\nthreads: 1\nname: y\n": "wrong.yaml: line 3: the key 'name' occurs twice",
    "options: {dim: 8, depth: 1, dim: 16}\n": "wrong.yaml: line 1: the key 'dim' occurs twice",
    "name: x\n---\nname: y\n": "line 2: expected a single document in the stream but found another document",
    "name: !!python/object/apply:os.system ['touch harm']\n": "wrong.yaml: line 1: could not determine a constructor",
    "name: !!python/name:os.system\n": "wrong.yaml: line 1: could not determine a constructor",
    "name: !own x\n": "wrong.yaml: line 1: could not determine a constructor for the tag '!own'",
    "threads: %s\n" % ("9" * 5000): "wrong.yaml: cannot be read (Exceeds the limit",
    "name: " + "[" * 900 + "]" * 900: "wrong.yaml: cannot be read (nested too deeply)",
    "name: \0\n": "wrong.yaml: cannot be read (unacceptable character #x0000",
    laughs("options"): "more than 5000 values, aliases counted every time",
    "options: &a {dim: *a}\n": "nested more than 12 levels deep",
    "options: {? [1, 2] : 3}\n": "wrong.yaml: line 1: found unhashable key",
    # keys and names
    "nmae: x\n": "top level: unknown key 'nmae': choose from name, data, .*; did you mean name?",
    "1: x\n": "top level: the key 1 is not text: put it in quotes",
    "yes: x\n": "top level: the key True is not text: put it in quotes",
    "shift: {label: [1]}": "unknown key 'label': choose from labels, min_shift, axis, circular; did you mean labels?",
    "data: {mirrors: x}": "data: unknown key 'mirrors': choose from path, mirror, md5; did you mean mirror?",
    "name: a/b": "name: 'a/b' is not a name of letters, digits and _ . -",
    "name: ..": "name: '..' is not a name of letters",
    'name: "a\\n"': r"name: 'a\n' is not a name of letters",
    "name: published": "name: 'published' is taken, choose another",
    "name: 5": "name: 5 is an integer, not text",
    "name: 2020-01-01": "name: '2020-01-01' is a date: put it in quotes",
    "name:": "name: has no value, give text",
    "name: %s" % ("n" * 101): "has more than 100 characters",
    # experiments, models and datasets
    "experiments:": "experiments: has no value, give a mapping",
    "experiments: [a]": "experiments: ['a'] is a list, not a mapping",
    "experiments: {b: }": "experiments.b: has no value, give a mapping",
    "experiments: {b: {dataset: MNIST}}": "experiments.b: lacks the key models",
    "experiments: {b: {models: {Performer: }}}": "experiments.b: lacks the key dataset",
    "experiments: {a b: {dataset: MNIST, models: {Performer: }}}": "experiments: 'a b' is not a name of letters",
    "experiments: {b: {dataset: MNIST, models: {}}}": "experiments.b.models: is empty, name at least one",
    ALL % "models: [Performer]": "experiments.a.models: ['Performer'] is a list, not a mapping",
    ALL % "models: {Perfomer: }": "unknown model 'Perfomer': choose from Performer, .*; did you mean Performer?",
    ALL % "models: {Performer: [{dim: 8}, ]}, dataset: MINST": "unknown dataset 'MINST': .*did you mean MNIST?",
    ALL % "dataset: []": "experiments.a.dataset: is empty, name at least one",
    ALL % "dataset: [MNIST, MNIST]": "experiments.a.dataset: 'MNIST' occurs twice",
    ALL % "dataset: [MNIST, mnist]": "a.dataset.1: unknown dataset 'mnist': choose from MNIST, .*; did you mean MNIST?",
    ALL % "dataset: {MNIST: }": "experiments.a.dataset: unknown dataset {'MNIST': None}",
    ALL % "dataset:": "experiments.a.dataset: has no value: choose from MNIST, FashionMNIST, CIFAR10, Digits",
    OWN % "dataset: MINST": "a.models.Performer.dataset: unknown dataset 'MINST'",
    ALL % "models: {Performer: []}": "experiments.a.models.Performer: is empty, name at least one",
    ALL % "models: {Performer: [{dim: 8}, null]}": "a.models.Performer.1: has no value, give a mapping",
    ALL % "models: {Performer: [{dim: 8}, {dim: 8}]}": "a: Performer_Digits_linear_dim8_seed0 occurs twice",
    ALL % "models: {Performer: linear}": "a.models.Performer: 'linear' is text, not a mapping or nothing",
    ALL % "models: {Performer: [{deep: 8}]}": "a: Performer has no option 'deep': .*; did you mean depth?",
    # options
    OWN % "pos_scales: 4": "a: Performer has no option 'pos_scales'",
    ALL % "dim: 8, models: {AlexNet: }": "a: AlexNet has no option 'dim'",
    ALL % "model: Performer": "a: Performer has no option 'model'",
    "options: {learning_rat: 1}": "options: there is no option 'learning_rat': .*; did you mean learning_rate?",
    "options: {dataset: MNIST}": "options: there is no option 'dataset': choose from embedding_type",
    "options: {pos_scales: -4}": "options.pos_scales: '-4' is not an integer from 1 to 1024",
    "options: {depth: []}": "options.depth: is empty, name at least one",
    "options: {depth: [1, 2, 1]}": "options.depth: 1 occurs twice",
    "options: {depth: {from: 1}}": "options.depth: {'from': 1} is a mapping, not text or a number or true or false",
    "options: [dim]": "options: ['dim'] is a list, not a mapping",
    ALL % "options: {dimm: 8}": "experiments.a.options: there is no option 'dimm': .*; did you mean dim?",
    ALL % "options: {pos_scales: [4, -4]}": "experiments.a.options.pos_scales: '-4' is not an integer from 1 to 1024",
    ALL % "options:": "experiments.a.options: has no value, give a mapping",
    OWN % "dim: 0": "a: dim: '0' is not an integer from 1 to 16384",
    OWN % "dim: -8": "a: dim: '-8' is not an integer from 1 to 16384",
    OWN % "dim: 1000000": "a: dim: '1000000' is not an integer from 1 to 16384",
    OWN % "dim: 8.5": "a: dim: '8.5' is not an integer",
    OWN % "dim: 8.0": "a: dim: '8.0' is not an integer",
    OWN % "dim: true": "a: dim: 'true' is not an integer",
    OWN % "dim: null": "a: dim: 'null' is not an integer",
    OWN % "dim: eight": "a: dim: 'eight' is not an integer",
    OWN % "dim: ' 8'": "a: dim: ' 8' is not an integer",
    OWN % "dim: [8, [16]]": "a.models.Performer.dim.1: [16] is a list, not text or a number",
    OWN % "heads: 3": "a: dim 8 is not divisible by heads 3",
    OWN % "accumulate_grad_batches: 17": "a: accumulate_grad_batches 17 exceeds batch_size 16: parts would be empty",
    OWN % "dim: 2": "a: dim 2 over 2 heads leaves a width of 1",
    OWN % "dim: 6": "a: dim 6 is not divisible by 4",
    OWN % "embedding_type: Linear": "a: embedding_type: unknown embedding_type 'Linear': .*; did you mean linear?",
    OWN % "no_projection: 1": "a: no_projection: 1 is not true or false",
    OWN % "no_projection: 'yes'": "a: no_projection: 'yes' is not true or false",
    OWN % "attn_dropout: 1": "a: attn_dropout: '1' is not a number from 0 to below 1",
    OWN % "attn_dropout: 10%": "a: attn_dropout: '10%' is not a number from 0 to below 1",
    OWN % "learning_rate: .nan": "a: learning_rate: 'nan' is not a number above 0",
    OWN % "learning_rate: .inf": "a: learning_rate: 'inf' is not a number above 0",
    OWN % "learning_rate: 1e999": "a: learning_rate: '1e999' is not a number above 0",
    OWN % "gradient_clip_norm: -1": "a: gradient_clip_norm: '-1' is not a number of at least 0",
    OWN % "seed: 4294967296": "a: seed: '4294967296' is not an integer from 0 to 4294967295",
    OWN % ("seed: 1%s" % ("0" * 30)): "a.models.Performer.seed: an integer of 100 bits is too large",
    OWN % ("test_checkpoint: %s" % ("best" * 500)): "a: test_checkpoint: unknown test_checkpoint 'bestbest",
    OWN % "max_norm: 1": "a: Performer has no option 'max_norm': .*; max_norm is now called gradient_clip_norm",
    "options: {tested: last}": "options: there is no option 'tested'; tested is now called test_checkpoint",
    OWN % "batch_size: [%s]" % ", ".join(map(str, range(1, 6000))): "more than 5000 values",
    OWN % ", ".join(f"{key}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]" for key in ("seed", "depth", "warmup", "patience")):
        f"experiments.a: its lists make more than {MOST_RUNS} runs",
    OWN % ", ".join(f"{key}: [2147483646, 2147483647]" for key in LONG): "the name of a run is too long",
    OWN % "learning_rate: [1e-4, 0.0001]": "Performer_Digits_linear_dim8_heads2_learning_rate0.0001_seed0 occurs twice",
    OWN % "depth: [1, '01']": "a: Performer_Digits_linear_dim8_depth1_heads2_seed0 occurs twice",
    ALL % "batch_size: 1, models: {ResNet18: }": "a: batch_size 1 leaves ResNet18's",
    # the rest
    "shift: {min_shift: 16}": "shift.min_shift: 16 is not an integer from 1 to 15",
    "shift: {min_shift: 0}": "shift.min_shift: 0 is not an integer from 1 to 15",
    "shift: {min_shift: 8.0}": "shift.min_shift: 8.0 is a number, not an integer",
    "shift: {axis: row}": "shift.axis: unknown axis 'row': choose from columns, rows, both; did you mean rows?",
    "shift: {axis: [rows]}": "shift.axis: unknown axis ['rows']: choose from columns, rows, both",
    "shift: {circular: 1}": "shift.circular: 1 is an integer, not true or false",
    "shift: {labels: []}": "shift.labels: is empty, name at least one",
    "shift: {labels: 1}": "shift.labels: 1 is an integer, not a list",
    "shift: {labels: [1, 10]}": "shift.labels.1: 10 is not an integer from 0 to 9",
    "shift: {labels: [1, 1]}": "shift.labels: 1 occurs twice",
    "shift:": "shift: has no value, give a mapping",
    "limit_test: 0": "limit_test: 0 is not an integer from 1 to",
    "limit_test: 99999999999": "limit_test: 99999999999 is not an integer from 1 to 2147483647",
    "threads: 0": "threads: 0 is not an integer from 1 to 1024",
    "threads: 2.5": "threads: 2.5 is a number, not an integer",
    "threads: .nan": "threads: nan is a number, not an integer",
    "threads: yes": "threads: True is a boolean, not an integer",
    "gpus: one": "gpus: 'one' is not a number of GPUs or auto",
    "gpus: -1": "gpus: -1 is not an integer from 0 to 64",
    "data: x": "data: 'x' is text, not a mapping",
    "data: {path: ''}": "data.path: '' is not a path of letters, digits and",
    "data: {path: 'my data'}": "data.path: 'my data' is not a path of letters",
    "data: {path: 'x; touch harm'}": "data.path: 'x; touch harm' is not a path of letters",
    "data: {path: '{run}'}": "data.path: '{run}' is not a path of letters",
    "data: {path: ~/data}": "data.path: '~/data' is not a path of letters",
    "data: {path: -x}": "data.path: '-x' is not a path of letters",
    "data: {mirror: ''}": "data.mirror: '' is not a folder or URL without spaces",
    "data: {mirror: [a, b]}": "data.mirror: ['a', 'b'] is a list, not text or nothing",
    "data: {md5: {Digits: {}}}": "data.md5: unknown key 'Digits': choose from MNIST, FashionMNIST, CIFAR10",
    "data: {md5: {CIFAR10: {cifar.tgz: x}}}": "unknown key 'cifar.tgz': .*; did you mean cifar-10-python.tar.gz?",
    "data: {md5: {CIFAR10: {cifar-10-python.tar.gz: xyz}}}": "'xyz' is not an MD5 of 32 hexadecimal digits",
}  # fmt: skip


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_a_wrong_configuration_is_refused_in_one_line(tmp_path, case):
    text, said = list(WRONG.items())[case]
    good, wrong = tmp_path / "good.yaml", tmp_path / "wrong.yaml"
    good.write_text(GOOD)
    wrong.write_text(text)
    with pytest.raises(UserError) as caught:
        expand(read_configs([good, wrong]))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    assert all(part in message for part in said.split(".*")), message
    assert os.listdir(tmp_path) == ["good.yaml", "wrong.yaml"]


PLACES = ["name", "options", "experiments", "shift", "data", "threads", "gpus", "limit_test", "models", "labels"]
KEYS = st.sampled_from([*PLACES, "dataset", "a b", "", *OPTIONS, *MODELS, *DATASETS])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.integers(), inner, max_size=4),
    max_leaves=12,
)
FUZZ = settings(max_examples=200)


def believed(config: Any) -> None:
    """Check that a configuration is either valid or refused in one line."""
    said = ""
    try:
        check_config(config)
        for (experiment, run), options in expand(config).items():
            assert Path(experiment, run).parts == (experiment, run)
            assert options.items() <= vars(parse(arguments(options).split())).items()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2000


@FUZZ
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_structure_is_good_or_refused_in_one_line(config):
    believed(config)


GOOD_CONFIG = yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text()) | {"threads": 1, "limit_test": 8}


@settings(FUZZ, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.integers(1, 3))
def test_a_good_configuration_that_was_damaged_is_good_or_refused_in_one_line(data, times):
    config = deepcopy(GOOD_CONFIG)
    for _ in range(times):
        damage(config, data)
    believed(config)


def damage(config: dict[str, Any], data: st.DataObject) -> None:
    """Delete, rename or replace one key or list item somewhere."""
    part: Any = config
    while True:
        places = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        if isinstance(part[place], dict | list) and data.draw(st.booleans()):
            part = part[place]
            continue
        match data.draw(st.sampled_from(["delete", "rename", "replace"])):
            case "rename" if isinstance(part, dict):
                part[data.draw(KEYS)] = part.pop(place)
            case "replace":
                part[place] = data.draw(VALUES)
            case _:
                del part[place]
        return


ARGUMENTS = ["--version", "--threads", "--devices", "--data_path", "--", "-", "-1", "0", "8", "1e-3", "nan", "inf"]
WORDS = st.sampled_from([*ARGUMENTS, "--dim=8", "9" * 5000, *(f"--{name}" for name in OPTIONS), *MODELS, *DATASETS])


@FUZZ
@given(st.lists(WORDS | st.text(max_size=8), max_size=8))
def test_any_command_line_is_parsed_or_refused_in_one_line(words):
    said, code = io.StringIO(), None
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            assert parse(words).model in MODELS
        except SystemExit as end:
            code = end.code
    assert code in (None, 2) or {"-h", "--help"} & set(words)
    assert said.getvalue().count("\n") == (code == 2)
    assert len(said.getvalue()) < 2200


# commands, with {bad} in place of each input
TABLES = [
    "collect_csv.py {bad} --out o.csv",
    "make_tables.py {bad} --out o",
    "compare_models.py {bad} --out o",
    "compare_published.py {bad} --published evaluations.csv --cnn evaluations.csv --out o",
    "compare_published.py evaluations.csv --published {bad} --cnn evaluations.csv --out o",
    "tabulate_published.py {bad} evaluations.csv --out o",
    "plot_accuracy.py {bad} --out o",
    "plot_cost.py --evaluations {bad} --times evaluations.csv --out o",
    "plot_cost.py --evaluations evaluations.csv --times {bad} --out o",
    "tabulate_costs.py --evaluations evaluations.csv --times {bad} --out o",
    "tabulate_shifts.py --evaluations evaluations.csv --shift MNIST={bad} --out o",
    "tabulate_redraws.py --evaluations evaluations.csv --redrawn {bad} --out o",
    "tabulate_claims.py o --published_shift evaluations.csv --configs config.yaml --plan {bad} --out o",
    "plot_curves.py --evaluations evaluations.csv --curves {bad} --out o",
    "plot_confusion.py MNIST --evaluations evaluations.csv --confusion {bad} --out o",
    "plot_shift.py --evaluations evaluations.csv --shift MNIST={bad} --out o",
    "plot_attention.py {bad} --name n --out o",
    "plot_published.py {bad} --out o",
    "plot_equivariance.py Performer={bad} --name n --out o",
]
RUNS = [
    "test.py --output o.csv {bad}",
    "test_shifted.py --output o.csv {bad}",
    "test_redrawn.py --output o.csv {bad}",
    "test_recursive.py --output o.csv {bad}",
    "equivariance.py --output o.csv {bad}",
    "relative_attention.py --output o.csv {bad}",
    "collect_curves.py --out o.csv {bad}",
    "collect_times.py --out o.csv {bad}",
    "import_checkpoint.py {bad} --out o",
    "status.py {bad}",
    "plan.py {bad}",
    "preview.py {bad}",
    "prepare_data.py MNIST --mirror {bad} --out o.npz",
    "train.py Performer MNIST --data_path {bad}",
]
CONTENTS = {
    "missing.csv": None,
    "empty.csv": b"",
    "binary.csv": bytes(range(256)) * 99,
    "page.csv": b"<html>\n<body>,,,\n",
    "nul.csv": b"run_dir\0,model\n\0\0\n",
    "utf16.csv": "run_dir,model\na,b\n".encode("utf-16"),
    "quote.csv": b'run_dir,model\n"a,b\n',
    "ragged.csv": b"run_dir\na,b,c\n",
    "other.csv": b"colour,size\nred,5\n",
}


@pytest.fixture
def ends(monkeypatch, tmp_path, capsys):
    """Call a command in this process, in a folder with tables, and return its exit code and output."""
    monkeypatch.chdir(tmp_path)
    csv(tmp_path / "evaluations.csv", [run_row()])

    def ends(line: str) -> tuple[Any, str]:
        script, *words = line.split()
        monkeypatch.setattr(sys, "argv", [script, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        return end.value.code, capsys.readouterr().err

    return ends


@pytest.mark.parametrize("line", TABLES + RUNS)
def test_every_command_refuses_wrong_files_in_one_line(ends, tmp_path, line):
    (tmp_path / "folder.csv").mkdir()
    for name, content in CONTENTS.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    before = set(os.listdir(tmp_path))
    for name in [*CONTENTS, *(["folder.csv"] if line not in ("status.py {bad}", RUNS[2]) else [])]:
        code, said = ends(line.format(bad=name))
        assert (code, said.count("\n")) == (2, 1), said
        assert name in said
    assert set(os.listdir(tmp_path)) - before <= {"archives", "lightning_logs"}


@pytest.mark.parametrize("line", [line for line in TABLES if line.count("evaluations.csv") != 1][:3])
def test_an_output_that_cannot_be_written_is_named(ends, line):
    words = line.format(bad="evaluations.csv").replace("--out o", "--out evaluations.csv/o")
    code, said = ends(words)
    assert (code, said.count("\n")) == (2, 1), said
    assert "evaluations.csv" in said


RUN = {
    "hparams.yaml": yaml.safe_dump({"model": "NoposPerformer", "dataset": "MNIST", "dim": 8, "heads": 2, "depth": 1}),
    "metrics.csv": "epoch,step,train/loss,train/acc,val/loss,val/acc\n0,1,1,0.5,1,0.5\n",
    "summary.json": '{"images_seen": 1, "seconds": 1.0, "epochs": 1}',
    "progress.json": "{}",
    "provenance.json": "[]",
}
DAMAGED = [
    ("status.py {run}", "metrics.csv", ["epoch,step\n0,1\n", "epoch,step,val/acc\n0,1,\n", "val/acc\nx\n"]),
    ("status.py {run}", "summary.json", ["{", "[]", "5", "{}}", '{"seconds": 0, "images_seen": 1}', '{"seconds": 1}']),
    ("status.py {run}", "progress.json", ["{", "null", '{"host": 5, "time": "x"}', '{"host": "h"}', "[" * 99999]),
    ("collect_times.py --out o.csv {run}", "summary.json", ["{", "[]", "\ufeff{}"]),
    ("collect_times.py --out o.csv {run}", "hparams.yaml", ["", "[]", "a: [", "!!python/name:os.system", "a: \0"]),
    ("collect_provenance.py --out o.csv {run}", "provenance.json", ["{", "{}", "[5]", '[{"code": 5}]', "[" * 99999]),
    ("collect_curves.py --out o.csv {run}", "metrics.csv", ["", "epoch\n0\n"]),
    ("test.py --output o.csv {run}", "hparams.yaml", ["model: x", "model: [Performer]", "dim: 8", "a: \x1b"]),
    ("test.py --output o.csv {run}", "hparams.yaml", [RUN["hparams.yaml"] + "batch_size: x\n", RUN["hparams.yaml"]]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "contents"), DAMAGED)
def test_a_damaged_run_folder_is_named_in_one_line(ends, tmp_path, line, name, contents):
    run_dir = tmp_path / "runs" / "x"
    run_dir.mkdir(parents=True)
    for content in contents:
        for file, good in RUN.items():
            (run_dir / file).write_text(content if file == name else good)
        if name == "progress.json":
            (run_dir / "summary.json").unlink()
        code, said = ends(line.format(run=run_dir))
        assert (code, said.count("\n")) == (2, 1), said
        assert "runs/x" in said
    assert not (tmp_path / "o.csv").exists()


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the files that snakemake reads, without a configuration."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("workflow", "profiles", "envs", "resources"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy2(REPOSITORY / "Snakefile", folder)
    return folder


def snakemake(folder: Path, config: bytes | None, code: int) -> list[str]:
    """Run snakemake with this config.yaml, check that no job started, and return the lines on stderr."""
    (folder / "config.yaml").unlink(missing_ok=True)
    if config is not None:
        (folder / "config.yaml").write_bytes(config)
    before = {*os.listdir(folder), ".snakemake"}
    command = [sys.executable, "-m", "snakemake", "all", "--cores", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "jobid" not in done.stderr + done.stdout
    assert {*os.listdir(folder), ".snakemake"} == before
    return [line for line in done.stderr.splitlines() if "profile" not in line]


REALLY = (laughs("options"), "data: {path: 'x; touch harm'}")


def test_snakemake_starts_no_job_with_a_wrong_configuration(copy):
    for wrong in REALLY:
        config = yaml.safe_load(GOOD)
        merge(config, yaml.safe_load(wrong))
        (line,) = snakemake(copy, yaml.safe_dump(config).encode(), 2)
        assert WRONG[wrong] in line
    (line,) = snakemake(copy, f"{GOOD}name: y".encode(), 2)
    assert "config.yaml: line 3: the key 'name' occurs twice" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: [x", "not valid JSON or YAML"),
        (b"name: !!python/object/apply:os.system ['touch harm']", "not valid JSON or YAML"),
        (None, "config.yaml but it is not present"),
    ],
)
def test_snakemake_itself_refuses_a_missing_or_unreadable_configuration(copy, content, said):
    assert said in "\n".join(snakemake(copy, content, 1))
