"""Errors that end a training: messages for the user, and a record in the run folder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from relative_performer.errors import Stopped, UserError, one_line
from relative_performer.files import write_atomically
from relative_performer.runs import folders

NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc")


@contextmanager
def as_user_errors(run_dir: Path) -> Iterator[None]:
    """Turn the errors of a training that the user can correct into UserErrors that name a remedy."""
    try:
        yield
    except SIGTERMException:  # Lightning's, before training starts
        raise Stopped(f"{run_dir}: stopped by SIGTERM; the same command continues from the last whole epoch") from None
    except SystemExit:  # Lightning's, which replaces a KeyboardInterrupt without a message
        raise KeyboardInterrupt from None
    except FloatingPointError as error:
        good = [str(run_dir / name) for name in (folders.RESUME, folders.BEST) if (run_dir / name).exists()]
        still = f"; still good: {' and '.join(good)}" if good else ""
        raise UserError(f"{run_dir}: {error}{still}; choose a lower --learning_rate, and another --version") from None
    except OSError as error:
        remedy = "when that is corrected, the same command continues from the last whole epoch"
        raise UserError(f"{run_dir}: cannot write ({error.strerror or error}); {remedy}") from None
    except (RuntimeError, MemoryError) as error:
        cuda = isinstance(error, torch.OutOfMemoryError)
        if not (cuda or isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY)):
            raise
        memory = "the GPU's memory" if cuda else "memory"
        remedy = "choose a higher --accumulate_grad_batches, or a lower --batch_size or --dim"
        raise UserError(f"{run_dir}: {memory} is not enough; {remedy}") from None


@contextmanager
def record_failure(run_dir: Path) -> Iterator[None]:
    """Write failure.txt in the run folder if an error, but not a signal, ends a training."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, Stopped):
            with suppress(OSError):  # the error may be a full disk
                write_atomically(run_dir / folders.FAILURE, f"{one_line(error) or type(error).__name__}\n".encode())
        raise
