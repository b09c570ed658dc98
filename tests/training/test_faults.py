"""Trainings survive faults, each caused for real: kills, signals, full storage, too little memory, bad files."""

import multiprocessing
import os
import random
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from helpers import REPOSITORY, SCRIPTS
from relative_performer.data import DATASETS
from relative_performer.data.archives import prepare
from relative_performer.data.prepared import save
from relative_performer.runs import folders
from relative_performer.runs.checkpoints import read_checkpoint
from relative_performer.runs.progress import describe

SMALL = "--dim 8 --depth 1 --heads 2 --batch_size 8 --limit_train 32 --limit_val 16 --threads 1 --ff_dropout 0.5"
EPOCHS = 4
TRAIN = f"{SMALL} --feature_redraw_interval 3 --max_epochs {EPOCHS} Performer Digits"
DEADLINE = 60  # seconds for anything that normally takes one second

# processes are forked from one that has imported everything, since the imports take seconds
server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(["pandas", "relative_performer.evaluation.test", "relative_performer.training.train"])


class Command(server.Process):
    """A command in its own process. `said` is its output.

    limits: the limit of each resource; a limit of memory is on top of the memory used at the start.
    """

    def __init__(self, folder: Path, line: str, limits: Mapping[int, int] = {}, log: Path | None = None) -> None:
        super().__init__()
        self.folder, self.words, self.limits = folder, line.split(), limits
        self.output = (log or folder) / f"{self.name}.log"
        self.start()

    def run(self) -> None:
        os.chdir(self.folder)
        with self.output.open("w") as output:
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
        for number, value in self.limits.items():
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            least = used if number == resource.RLIMIT_AS else 0
            resource.setrlimit(number, (least + value,) * 2)
        script, *sys.argv[1:] = self.words
        sys.argv[0] = script
        try:
            try:
                runpy.run_path(str(SCRIPTS / script), run_name="__main__")
            finally:  # after the command, multiprocessing would exit with code 1
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)

    @property
    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def code(self) -> int:
        """Wait for the end and return the exit status."""
        self.join(DEADLINE)
        assert self.exitcode is not None, f"still running: {self.said}"
        return self.exitcode

    def wait_for(self, condition: Callable[[], object]) -> bool:
        """Return whether the condition became true before the process ended."""
        ends = time.monotonic() + DEADLINE
        while self.is_alive() and time.monotonic() < ends:
            if condition():
                return True
        return False


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the prepared Digits in `data`, and the run `lightning_logs/whole/x` of TRAIN, uninterrupted."""
    folder = tmp_path_factory.mktemp("faults")
    save(prepare(DATASETS["Digits"], folder), folder / "data" / "Digits.npz")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS), str(REPOSITORY / "tests")])
    command = Command(folder, f"train.py --exp_name whole --version x {TRAIN}")
    assert command.code() == 0, command.said
    return folder


def same(a: object, b: object) -> bool:
    """Return whether two checkpoints are bitwise equal."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def assert_as_never_interrupted(run_dir: Path, whole: str = "whole/x") -> None:
    whole = run_dir.parents[1] / whole
    for name in (folders.BEST, folders.LAST):
        ours, theirs = read_checkpoint(run_dir / name), read_checkpoint(whole / name)
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
            assert same(ours.get(part), theirs.get(part)), (name, part)
    assert (run_dir / folders.METRICS).read_bytes() == (whole / folders.METRICS).read_bytes()
    summaries = [folders.read_summary(folder) for folder in (run_dir, whole)]
    assert all(summary.pop(cost) > 0 for summary in summaries for cost in ("seconds", "core_seconds", "peak_bytes"))
    assert summaries[0] == summaries[1]
    names = [
        sorted(path.name for path in folder.rglob("*") if "tfevents" not in path.name) for folder in (run_dir, whole)
    ]
    assert names[0] == names[1]


def epochs(run_dir: Path) -> int:
    """Return the number of epochs in the state from which a run resumes."""
    path = run_dir / folders.RESUME
    return len(read_checkpoint(path)["callbacks"]["MetricsTable"]["rows"]) if path.exists() else 0


def is_trained(run_dir: Path) -> bool:
    """Return whether the last epoch of a run is in its files."""
    return (run_dir / folders.LAST).exists() or epochs(run_dir) == EPOCHS


def assert_goes_on(place: Path, run_dir: Path, line: str) -> None:
    """Start a run again, and check that it resumes after its last whole epoch and trains to its end."""
    known, state = epochs(run_dir), (run_dir / folders.RESUME).exists()
    again = Command(place, line)
    assert again.code() == 0, again.said
    assert again.said.startswith("resuming" if state else "training")
    said = [int(row.split()[1]) for row in again.said.splitlines() if row.startswith("epoch")]
    assert said == list(range(known, EPOCHS))


@pytest.mark.fault(20)
def test_killed_at_any_moment(place):
    """Twelve kills at random moments, and eight that leave a half-written checkpoint behind."""
    moments, killed, torn = random.Random(0), 0, 0
    started = time.monotonic()
    assert Command(place, f"train.py --exp_name timed --version x {TRAIN}").code() == 0
    duration = time.monotonic() - started
    while killed < 12 or torn < 8:
        assert time.monotonic() < started + 5 * DEADLINE
        run_dir = place / "lightning_logs" / "killed" / str(killed)
        line = f"train.py --exp_name killed --version {killed} {TRAIN}"
        command = Command(place, line)
        if killed < 12:
            due = after(moments.uniform(0, duration))
        else:
            due = checkpoint_being_written(run_dir, 1 + moments.randrange(EPOCHS))
        if command.wait_for(due):
            command.kill()
        if command.code() == 0:  # it ended before it could be killed
            shutil.rmtree(run_dir)
            continue
        assert command.code() == -signal.SIGKILL
        torn += killed >= 12 and bool(half_written(run_dir))
        killed += 1
        assert_goes_on(place, run_dir, line)
        assert_as_never_interrupted(run_dir)


def after(seconds: float) -> Callable[[], bool]:
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() > ends


def half_written(run_dir: Path) -> list[Path]:
    return list(run_dir.glob("checkpoints/.*"))


def checkpoint_being_written(run_dir: Path, number: int) -> Callable[[], bool]:
    """Return a condition that is true while the checkpoint of this number is written. It has to be polled often."""
    there = [False]

    def condition() -> bool:
        if (now := bool(half_written(run_dir))) != there[-1]:
            there.append(now)
        return now and len(there) // 2 >= number

    return condition


def listens(command: Command) -> bool:
    """Return whether the process handles SIGUSR1, which means that its training can be stopped."""
    try:
        status = Path(f"/proc/{command.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
    return bool(caught & 1 << signal.SIGUSR1 - 1)


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGTERM, "--warmup 5 --schedule noam"),
        (signal.SIGUSR1, "--accumulate_grad_batches 2 --max_steps 14"),
        (signal.SIGINT, "--precision bf16-mixed"),
    ],
)
def test_a_signal_stops_after_the_step(place, number, options):
    """Repeat until a run has stopped between steps, in a validation and in the same validation again."""
    line = f"train.py --exp_name {number.name} {TRAIN} {options} --limit_val 160 --version"
    assert Command(place, f"{line} whole").code() == 0
    moments, places = random.Random(0), set()
    ends = time.monotonic() + 5 * DEADLINE
    while len(places) < 3:
        assert time.monotonic() < ends
        run_dir = place / "lightning_logs" / number.name / "stopped"
        shutil.rmtree(run_dir, ignore_errors=True)
        in_validation, step = False, 0
        for _ in range(8):
            if (run_dir / folders.SUMMARY).exists():
                break
            command = Command(place, f"{line} stopped")
            if command.wait_for(lambda command=command: listens(command)):
                command.wait_for(after(0 if in_validation else moments.uniform(0, 0.2)))
                with suppress(ProcessLookupError):
                    os.kill(command.pid, number)
            if command.code() in (-number, 128 + number):  # Lightning restores the handlers after the last epoch
                assert is_trained(run_dir), command.said
                continue
            if command.code() == 0:
                continue
            assert command.code() == 75, command.said
            assert re.search(
                f"stopped by {number.name} after step .*; the same command continues from there", command.said
            )
            state = read_checkpoint(run_dir / folders.RESUME)
            before = in_validation, step
            in_validation, step = state["callbacks"]["Interruption"]["val"] > 0, state["global_step"]
            places.add((in_validation, in_validation and before == (in_validation, step)))
        last = Command(place, f"{line} stopped")
        assert last.code() == 0 or "this run is finished" in last.said
        assert_as_never_interrupted(run_dir, f"{number.name}/whole")


@pytest.mark.fault(4)
def test_ctrl_c_before_the_first_step_or_twice_ends_at_once(place):
    """The only step of an epoch has 200 parts, and the first signal would stop the training after the last one."""
    parts = "--limit_train 200 --batch_size 200 --accumulate_grad_batches 200"
    line = f"train.py --exp_name twice {TRAIN} {parts} --version"
    assert Command(place, f"{line} whole").code() == 0
    run_dir = place / "lightning_logs" / "twice" / "stopped"
    for twice in (False, True) * 2:
        command = Command(place, f"{line} stopped")
        if twice:
            assert command.wait_for(lambda command=command: listens(command))
            os.kill(command.pid, signal.SIGINT)
            assert command.wait_for(after(0.1)), command.said
        else:
            assert command.wait_for(lambda command=command: command.said)
        os.kill(command.pid, signal.SIGINT)
        assert error_of(command, 128 + signal.SIGINT) == "train.py: error: interrupted"
    assert_goes_on(place, run_dir, f"{line} stopped")
    assert_as_never_interrupted(run_dir, "twice/whole")


def error_of(command: Command, code: int = 2) -> str:
    """Return the error of a command that fails, its last line."""
    assert command.code() == code, command.said
    assert "Traceback" not in command.said
    return command.said.splitlines()[-1]


@pytest.mark.fault
def test_a_loss_that_is_no_number_ends_the_run(place):
    """The first step has a learning rate of 0, the second one of 1e30."""
    line = f"train.py --exp_name nan --version x {TRAIN} --batch_size 32 --warmup 1 --learning_rate"
    said = error_of(Command(place, f"{line} 1e30"))
    run_dir = place / "lightning_logs/nan/x"
    assert re.search(
        r"the loss became (nan|inf) in epoch 1, validation after step 2, at a learning rate of 1e\+30", said
    )
    assert f"still good: lightning_logs/nan/x/{folders.RESUME} and lightning_logs/nan/x/{folders.BEST}" in said
    assert epochs(run_dir) == 1
    described = describe(run_dir, time.time())
    assert described["state"] == "failed"
    assert described["failure"] in said
    good = {name: (run_dir / name).read_bytes() for name in (folders.RESUME, folders.BEST)}
    assert error_of(Command(place, f"{line} 1e30")) == said
    for name, content in good.items():
        assert (run_dir / name).read_bytes() == content
        assert all(value.isfinite().all() for value in read_checkpoint(run_dir / name)["state_dict"].values())


@pytest.mark.fault
def test_too_little_memory_says_what_to_lower(place):
    line = f"train.py --exp_name memory {TRAIN} --dim 128 --batch_size 512 --limit_train 512"
    said = error_of(Command(place, line, {resource.RLIMIT_AS: 500 * 2**20}))
    assert "memory is not enough; choose a higher --accumulate_grad_batches, or a lower --batch_size or --dim" in said


@pytest.fixture
def disk(tmp_path, place):
    """A separate file system of 400 kB, with the data of `place`."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("only the administrator can mount a small disk")
    (tmp_path / "data").symlink_to(place / "data")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def assert_whole_files(run_dir: Path) -> None:
    for path in run_dir.rglob("*.ckpt"):
        read_checkpoint(path)
    folders.read_run(run_dir)
    assert not half_written(run_dir)


@pytest.mark.fault(2)
def test_a_full_or_read_only_disk(disk, place):
    line = f"train.py --exp_name disk --version x {TRAIN}"
    run_dir = disk / "lightning_logs/disk/x"
    logs = place / "disk"
    logs.mkdir()
    remount(disk, "ro")
    said = error_of(Command(disk, line, log=logs))
    assert "cannot write or lock the run folder" in said
    remount(disk, "rw")
    (disk / "ballast").write_bytes(bytes(2**10 * 300))
    said = error_of(Command(disk, line, log=logs))
    assert "lightning_logs/disk/x: cannot write (No space left on device)" in said
    assert_whole_files(run_dir)
    (disk / "ballast").unlink()
    remount(disk, "size=10M")
    again = Command(disk, line, log=logs)
    assert again.code() == 0, again.said
    shutil.copytree(place / "lightning_logs/whole", disk / "lightning_logs/whole")
    assert_as_never_interrupted(run_dir)


@pytest.mark.fault
def test_files_that_may_not_grow(place):
    """best.ckpt fits, and the state with Adam's moments does not."""
    size = (place / "lightning_logs/whole/x" / folders.BEST).stat().st_size + 1000
    line = f"train.py --exp_name quota --version x {TRAIN}"
    said = error_of(Command(place, line, {resource.RLIMIT_FSIZE: size}))
    run_dir = place / "lightning_logs/quota/x"
    assert "cannot write (File too large)" in said
    assert (run_dir / folders.BEST).exists()
    assert_whole_files(run_dir)
    assert_goes_on(place, run_dir, line)
    assert_as_never_interrupted(run_dir)


@pytest.mark.fault(3)
def test_only_one_of_several_simultaneous_trainings_gets_the_folder(place):
    line = f"train.py --exp_name race --version x {TRAIN}"
    commands = [Command(place, line) for _ in range(4)]
    assert sorted(command.code() for command in commands) == [0, 2, 2, 2]
    for command in commands:
        if command.code():
            assert re.search("another process is training this run|this run is finished", error_of(command))
    assert_as_never_interrupted(place / "lightning_logs/race/x")


class _Runs:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.fixture
def interrupted(place, tmp_path) -> Path:
    """The folder x of a training that was killed after its end, but before it was marked as finished."""
    run_dir = place / "lightning_logs" / tmp_path.name / "x"
    shutil.copytree(place / "lightning_logs/whole/x", run_dir)
    (run_dir / folders.LAST).rename(run_dir / folders.RESUME)
    (run_dir / folders.SUMMARY).unlink()
    return run_dir


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path: Path) -> None:
    """Change one weight, which torch itself would not notice."""
    weight = read_checkpoint(path)["state_dict"]["model.head.weight"].numpy().tobytes()
    content = path.read_bytes()
    path.write_bytes(content.replace(weight, bytes([weight[0] ^ 1]) + weight[1:]))
    assert path.read_bytes() != content


def change(**values: object) -> Callable[[Path], None]:
    return lambda path: torch.save(torch.load(path) | values, path)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "damaged or no checkpoint"),
        (flip_a_bit, "damaged or no checkpoint .wrong checksum"),
        (change(x=_Runs()), "refused, it holds more than weights and plain data"),
        (change(**{"pytorch-lightning_version": "1.9.0"}), "written by pytorch-lightning 1.9.0, and this is"),
        (change(run={"model": "RelativePerformer"}), "of another run, its .* is .* and here"),
        (change(state_dict={}), "does not fit hparams.yaml"),
        (lambda path: torch.save({"state_dict": {}}, path), "not the state of a training, it lacks callbacks"),
    ],
)
def test_a_bad_state_is_refused_by_name(place, interrupted, damage, said):
    state = interrupted / folders.RESUME
    damage(state)
    content = state.read_bytes()
    line = f"train.py --exp_name {interrupted.parent.name} --version x {TRAIN}"
    message = error_of(Command(place, line))
    assert f"{state.relative_to(place)}: " in message
    assert re.search(f"{said}.*; delete it to train this run from its start", message)
    assert state.read_bytes() == content
    assert not (place / "executed").exists()
    state.unlink()
    assert_goes_on(place, interrupted, line)
    assert_as_never_interrupted(interrupted)


@pytest.mark.fault
@pytest.mark.parametrize("lines", [5, 5.5])
def test_options_cut_short_are_refused_and_nothing_is_lost(place, interrupted, lines):
    path = interrupted / folders.HPARAMS
    text = path.read_text()
    path.write_text("".join(text.splitlines(keepends=True)[: int(lines)]) + ("a: b" if lines % 1 else ""))
    for line in (
        f"train.py --exp_name {interrupted.parent.name} --version x {TRAIN}",
        f"test.py --output x.csv {interrupted.relative_to(place)}",
    ):
        assert f"{path.relative_to(place)}: cut short" in error_of(Command(place, line))
    path.write_text(text)
    assert_goes_on(place, interrupted, f"train.py --exp_name {interrupted.parent.name} --version x {TRAIN}")
    assert_as_never_interrupted(interrupted)
