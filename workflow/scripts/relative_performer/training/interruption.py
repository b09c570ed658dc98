"""Interruption and resumption of a training: signals, and the state from which the same command continues."""

import io
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import CheckpointIO

from relative_performer.config.options import complete_hparams
from relative_performer.errors import Stopped, UserError
from relative_performer.files import write_atomically
from relative_performer.runs.checkpoints import read_checkpoint
from relative_performer.runs.weights import load_weights, present_name

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # SLURM can send SIGUSR1 before the time limit
STATE = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "pytorch-lightning_version", "run"}


@contextmanager
def suggest_deletion() -> Iterator[None]:
    """Add the advice to delete a saved state to a UserError about this state."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; delete it to train this run from its start") from None


class CheckpointFiles(CheckpointIO):
    """Writes checkpoints atomically, and reads only those of this run. run: options that identify the run."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = dict(run)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint | {"run": self.run}, content)
        write_atomically(Path(path), content.getbuffer())

    @suggest_deletion()
    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read the state of this run; raises UserError if it is damaged, unsafe, or of another run or version."""
        checkpoint = read_checkpoint(Path(path))
        if missing := sorted(STATE - checkpoint.keys()):
            raise UserError(f"{path}: not the state of a training, it lacks {missing[0]}")
        version = checkpoint["pytorch-lightning_version"]
        if version != pl.__version__:
            raise UserError(f"{path}: written by pytorch-lightning {version}, and this is {pl.__version__}")
        run = complete_hparams(checkpoint["run"])
        for name, here in self.run.items():
            if (there := run.get(name)) != here:
                raise UserError(f"{path}: of another run, its {name} is {there} and here {here}")
        weights = {present_name(name): value for name, value in checkpoint["state_dict"].items()}
        return checkpoint | {"state_dict": weights}

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class Interruption(Callback):
    """Stops a training after the step in which a signal arrives, so that it resumes as if never interrupted.

    Several processes would have to synchronise at every step in order to stop at the same step. A signal therefore ends
    them at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stopped_by = ""
        self.position: dict[str, Any] = {}  # within an epoch: batches done, sums of the losses, random state

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return self.position

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.position = state_dict

    @suggest_deletion()
    def check_weights(self, pl_module: Any, state_dict: Mapping[str, Any]) -> None:
        """Raise UserError if the weights of a state do not fit the module."""
        load_weights(pl_module, state_dict, self.path)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Handle signals, and restore the position within the epoch at which the training was stopped."""
        for number in SIGNALS if trainer.world_size == 1 else ():
            signal.signal(number, self._stop_later)
        if trainer.world_size > 1:  # Lightning would wait for the other processes, which can hang
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.position:
            # otherwise Lightning skips the batch at which validation stopped, and loses its position at a second stop
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()
            share = float(trainer.is_global_zero)  # the sums of all processes are added up
            pl_module.sums = {split: sums.to(pl_module.device) * share for split, sums in self.position["sums"].items()}
            torch.set_rng_state(self.position["random"])
            if pl_module.device.type == "cuda" and "cuda_random" in self.position:  # not if it was stopped on a CPU
                torch.cuda.set_rng_state(self.position["cuda_random"], pl_module.device)

    def _stop_later(self, number: int, _: Any) -> None:
        if self.stopped_by and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stopped_by = signal.Signals(number).name

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop after a step if a signal arrived. After the last step of an epoch, `stop_in_validation` does."""
        done = batch_idx + 1
        last = done == trainer.num_training_batches or trainer.global_step == pl_module.run["max_steps"]
        if self.stopped_by and done % trainer.accumulate_grad_batches == 0 and not last:
            self.stop(trainer, pl_module, train=done, val=0)

    def stop_in_validation(self, trainer: pl.Trainer, pl_module: Any, batch_idx: int) -> None:
        """Stop before a validation batch if a signal arrived and the training is not ending anyway.

        `validation_step` calls this, because Lightning can resume its own counts there.
        """
        if self.stopped_by and not trainer.should_stop:
            done = self.position.get("val", 0) + batch_idx
            self.stop(trainer, pl_module, train=int(trainer.num_training_batches), val=done)

    def stop(self, trainer: pl.Trainer, pl_module: Any, train: int, val: int) -> NoReturn:
        """Save the state after `train` and `val` batches of the epoch, and raise Stopped."""
        pl_module.check_losses()
        # no loss has been computed since the last step
        if not all(parameter.isfinite().all() for parameter in pl_module.parameters()):
            raise FloatingPointError(f"a weight became infinite or nan in step {trainer.global_step}")
        self.position = {"train": train, "val": val, "random": torch.get_rng_state()}
        self.position["sums"] = {split: sums.cpu() for split, sums in pl_module.sums.items()}
        if pl_module.device.type == "cuda":
            self.position["cuda_random"] = torch.cuda.get_rng_state(pl_module.device)
        trainer.save_checkpoint(self.path)
        place = f"{self.path.parent.parent}: stopped by {self.stopped_by} after step {trainer.global_step}"
        raise Stopped(f"{place}; the same command continues from there")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Reset the position within the epoch."""
        self.position = {}
