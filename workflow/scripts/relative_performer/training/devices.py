"""The devices and threads of a command. A GPU is reserved by a lock, which the kernel frees when the process ends."""

import ctypes
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from relative_performer.errors import UserError
from relative_performer.runs.folders import JOIN

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
VISIBLE = "CUDA_VISIBLE_DEVICES"
ANSWER = 10  # seconds for nvidia-smi to answer
LOCKS = Path(tempfile.gettempdir()) / "relative_performer_gpus"


def configure_cpu(threads: int | None) -> None:
    """Use this number of CPU threads (None leaves the choice to torch), and keep freed memory in the process."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    # without this, glibc returns the memory of every training step to the system and fetches it again
    with suppress(AttributeError):  # other C libraries have no mallopt
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def pick_device(accelerator: str, devices: int = 1) -> "torch.device":
    """Return the device for `accelerator`: auto (a GPU if there is one, else the CPU), cpu or cuda.

    Raises UserError, which says what torch sees, if there are fewer GPUs than `devices`.
    """
    import torch

    found = torch.cuda.device_count()
    if accelerator == "auto":
        accelerator = "cuda" if found else "cpu"
    if accelerator == "cuda" and found < devices:
        others = "fewer, or the CPU" if found else "the CPU"
        remedy = f"choose {others} (`gpus: 0` in a configuration, --accelerator cpu)"
        raise UserError(f"{devices} GPU(s) requested, but {_seen(found)}; {remedy}")
    if accelerator == "cuda":
        # otherwise convolutions round float32 to TF32, which matrix products do not
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    return torch.device(accelerator)


def _seen(found: int) -> str:
    """Return what torch sees of GPUs, for messages."""
    import torch

    if found:
        return f"torch sees {found}"
    reason = ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # no driver, an old driver, no CUDA in this torch, no GPU
        reason = f": {str(error).partition('. ')[0].strip()}"
    return f"torch {torch.__version__}, built for CUDA {torch.version.cuda}, sees none{reason}"


def device_name(device: "torch.device") -> str:
    """Return the name of a device, for messages."""
    import torch

    return torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"


@contextmanager
def ready(accelerator: str, threads: int | None) -> Iterator["torch.device"]:
    """Set the number of CPU threads and yield the device for `accelerator`. A GPU is reserved meanwhile."""
    configure_cpu(threads)
    device = pick_device(accelerator)
    with hold_gpus(device):
        yield device


@contextmanager
def hold_gpus(device: "torch.device", count: int = 1) -> Iterator[None]:
    """If `device` is a GPU, reserve `count` free GPUs and make them the only visible ones, before CUDA starts.

    Waits until `count` GPUs are free. In a training over several devices, the other processes inherit the GPUs of the
    first process.
    """
    if device.type != "cuda" or JOIN in os.environ:
        yield
        return
    names = gpus()
    if not names:
        print("no nvidia-smi: using the first GPU, even if others use it", file=sys.stderr, flush=True)
        yield
        return
    with hold(names, count) as held:
        os.environ[VISIBLE] = ",".join(held)
        yield


def end_with_parent() -> None:
    """End this process when its parent ends, since the parent holds the GPU locks of both."""

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, args=[os.getppid()], daemon=True).start()


def forget_ranks() -> None:
    """Remove the variables of launchers from the environment, so that a training on one device is the first process.

    Call this before Lightning is imported.
    """
    for name in ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_", "JSM_", "PMI_", "OMPI_"))]:
        del os.environ[name]


def gpus() -> list[str]:
    """Return the UUIDs of the GPUs that CUDA_VISIBLE_DEVICES selects; an empty list without nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER)
    except (OSError, subprocess.CalledProcessError):
        return []
    except subprocess.TimeoutExpired:
        message = f"nvidia-smi gave no answer in {ANSWER} s: its GPUs are not counted; check the driver (nvidia-smi -L)"
        print(message, file=sys.stderr, flush=True)
        return []
    listed = done.stdout.split()
    return visible(listed, os.environ.get(VISIBLE))


def visible(uuids: Sequence[str], chosen: str | None) -> list[str]:
    """Return the UUIDs that the value `chosen` of CUDA_VISIBLE_DEVICES selects, as CUDA does.

    Entries are indices, UUIDs or prefixes of UUIDs, and are read up to the first invalid one. None selects all GPUs.
    Parts of a GPU (MIG-…) are returned unchanged.
    """
    names: list[str] = []
    for entry in uuids if chosen is None else chosen.replace(" ", "").split(","):
        if entry.isdecimal() and int(entry) < len(uuids):
            names.append(uuids[int(entry)])
        elif entry.startswith("MIG-"):
            names.append(entry)
        elif entry and (match := next((uuid for uuid in uuids if uuid.startswith(entry)), None)):
            names.append(match)
        else:
            break
    return names


@contextmanager
def hold(names: Sequence[str], count: int, folder: Path = LOCKS) -> Iterator[list[str]]:
    """Lock `count` of the devices `names` and yield their names. Wait until `count` devices are free.

    The locks are files in `folder`, which all users of the machine share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o777)  # not sticky: the kernel or filelock would refuse another user's file
    locks = {name: FileLock(folder / name.replace("/", "_"), mode=0o666) for name in names}
    try:
        held = _take(locks, count)
        if len(held) < count:
            print(
                f"waiting until {count} of {len(names)} GPUs are free (locks in {folder})", file=sys.stderr, flush=True
            )
        while len(held) < count:
            time.sleep(random.uniform(0.5, 1.5))  # random, so that two processes do not block each other forever
            held = _take(locks, count)
        yield held
    finally:
        for lock in locks.values():
            lock.release()


def _take(locks: dict[str, FileLock], count: int) -> list[str]:
    """Lock `count` of them and return their names. If fewer are free, lock none and return fewer names."""
    held = list(islice((name for name, lock in locks.items() if _locked(lock)), count))
    if len(held) < count:
        for name in held:
            locks[name].release()
    return held


def _locked(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except (Timeout, PermissionError):  # another user is just creating the file
        return False
    return True
