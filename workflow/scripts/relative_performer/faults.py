"""What a training does about faults: signals, full or failing storage, too little memory, damaged checkpoints."""

import io
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from relative_performer import runs
from relative_performer.checkpoints import read_checkpoint
from relative_performer.cli import Stopped, UserError, one_line
from relative_performer.files import write_atomically

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # SLURM can send the last before the time is over
NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc")
STATE = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "pytorch-lightning_version", "run"}


@contextmanager
def told(run_dir: Path) -> Iterator[None]:
    """Turn the faults of a training that its user can mend into UserErrors, which name a remedy."""
    try:
        yield
    except SIGTERMException:  # Lightning's, before training starts
        raise Stopped(f"{run_dir}: stopped by SIGTERM; the same command goes on from the last whole epoch") from None
    except FloatingPointError as error:
        kept = [str(run_dir / name) for name in (runs.RESUME, runs.BEST) if (run_dir / name).exists()]
        good = f"; still good: {' and '.join(kept)}" if kept else ""
        raise UserError(f"{run_dir}: {error}{good}; choose a lower --learning_rate, and another --version") from None
    except OSError as error:
        remedy = "when that is mended, the same command goes on from the last whole epoch"
        raise UserError(f"{run_dir}: cannot write ({error.strerror or error}); {remedy}") from None
    except (RuntimeError, MemoryError) as error:
        cuda = isinstance(error, torch.OutOfMemoryError)
        if not (cuda or isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY)):
            raise
        memory = "the GPU's memory" if cuda else "memory"
        remedy = "give more --accumulate, or a lower --batch_size or --dim"
        raise UserError(f"{run_dir}: {memory} is not enough; {remedy}") from None


@contextmanager
def failure_noted(run_dir: Path) -> Iterator[None]:
    """Leave in the run folder what ended a training that did not end well, unless it was a signal."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, Stopped):
            with suppress(OSError):  # it may be a full disk that ended it
                write_atomically(run_dir / runs.FAILURE, f"{one_line(error) or type(error).__name__}\n".encode())
        raise


@contextmanager
def refusing_state() -> Iterator[None]:
    """Add to a UserError about a state what is to be done."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; delete it to train this run from its start") from None


class CheckpointFiles(CheckpointIO):
    """Writes checkpoints all or nothing, and reads those of this run alone. run: what tells it from others."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = dict(run)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint | {"run": self.run}, content)
        write_atomically(Path(path), content.getbuffer())

    @refusing_state()
    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read the state of this run; raises UserError if it is damaged, unsafe, or of another run or version."""
        checkpoint = read_checkpoint(Path(path))
        if missing := sorted(STATE - checkpoint.keys()):
            raise UserError(f"{path}: not the state of a training, it lacks {missing[0]}")
        version = checkpoint["pytorch-lightning_version"]
        if version != pl.__version__:
            raise UserError(f"{path}: written by pytorch-lightning {version}, and this is {pl.__version__}")
        for name, here in self.run.items():
            if (there := checkpoint["run"].get(name)) != here:
                raise UserError(f"{path}: of another run, its {name} is {there} and here {here}")
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class Interruption(Callback):
    """Stops a training after the step in which a signal asks for it; the state then goes on as if never interrupted.

    Several processes could not stop at one step without asking each other at every step: a signal ends them at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked_by = ""
        self.position: dict[str, Any] = {}  # in an epoch: batches done, sums of the losses, random state

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return self.position

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what a checkpoint kept."""
        self.position = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Listen to signals, and go back to where an epoch was left."""
        for number in SIGNALS if trainer.world_size == 1 else ():
            signal.signal(number, self._note)
        if trainer.world_size > 1:  # Lightning would first ask the other processes, which can hang
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.position:
            # Lightning leaves the batch out in which validation was stopped, and would not find its place a second time
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()
            share = float(trainer.is_global_zero)  # several processes add up
            pl_module.sums = {split: sums.to(pl_module.device) * share for split, sums in self.position["sums"].items()}
            torch.set_rng_state(self.position["random"])
            if pl_module.device.type == "cuda" and "cuda_random" in self.position:  # not if it was stopped on a CPU
                torch.cuda.set_rng_state(self.position["cuda_random"], pl_module.device)

    def _note(self, number: int, _: Any) -> None:
        if self.asked_by and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked_by = signal.Signals(number).name

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop after a step if asked to; after the last one of an epoch its validation does, or max_steps."""
        done = batch_idx + 1
        last = done == trainer.num_training_batches or trainer.global_step == pl_module.run["max_steps"]
        if self.asked_by and done % trainer.accumulate_grad_batches == 0 and not last:
            self.stop(trainer, pl_module, train=done, val=0)

    def before_validation_batch(self, trainer: pl.Trainer, pl_module: Any, batch_idx: int) -> None:
        """Stop if asked to, but for max_steps. validation_step calls it: there Lightning can resume its own counts."""
        if self.asked_by and not trainer.should_stop:
            done = self.position.get("val", 0) + batch_idx
            self.stop(trainer, pl_module, train=int(trainer.num_training_batches), val=done)

    def stop(self, trainer: pl.Trainer, pl_module: Any, train: int, val: int) -> NoReturn:
        """Save the state within the epoch after so many batches, and raise Stopped."""
        pl_module.check_losses()
        if not all(parameter.isfinite().all() for parameter in pl_module.parameters()):  # since the last step
            raise FloatingPointError(f"a weight became infinite or nan in step {trainer.global_step}")
        self.position = {"train": train, "val": val, "random": torch.get_rng_state()}
        self.position["sums"] = {split: sums.cpu() for split, sums in pl_module.sums.items()}
        if pl_module.device.type == "cuda":
            self.position["cuda_random"] = torch.cuda.get_rng_state(pl_module.device)
        trainer.save_checkpoint(self.path)
        place = f"{self.path.parent.parent}: stopped by {self.asked_by} after step {trainer.global_step}"
        raise Stopped(f"{place}; the same command goes on from there")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Forget the place within the epoch."""
        self.position = {}
