"""Several GPUs or processes: which process uses which device and which images."""

import ctypes
import os
import select
import subprocess
import sys

import pytest
import torch

from helpers import REPOSITORY
from relative_performer.data.batches import Batches
from relative_performer.errors import UserError
from relative_performer.runs import folders
from relative_performer.training.devices import pick_device, visible

UUIDS = ["GPU-0a", "GPU-1b", "GPU-2c"]
HOLDER = """
import sys
from pathlib import Path
from relative_performer.training.devices import hold
with hold(["GPU-a", "MIG-GPU-b/1/0"], int(sys.argv[2]), Path(sys.argv[1])) as held:
    print(*held, flush=True)
    sys.stdin.read()
"""


MEMORY = """
import ctypes, sys, torch
from relative_performer.training.devices import configure_cpu
class Mallinfo(ctypes.Structure):  # struct mallinfo2 of malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo
if sys.argv[1] == "configured":
    configure_cpu(1)
def held():
    return mallinfo2().arena + mallinfo2().hblkhd
before = held()
block = torch.empty(2**27)
del block
print(held() - before > 2**28)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library has no mallinfo2")
@pytest.mark.parametrize(("kind", "stays"), [("configured", "True"), ("plain", "False")])
def test_freed_memory_stays_in_the_process(kind, stays):
    with python(MEMORY, kind, stdout=subprocess.PIPE) as process:
        assert process.communicate()[0].split() == [stays]


def test_a_gpu_that_is_missing_is_refused_with_what_torch_sees(monkeypatch):
    assert pick_device("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match=r"1 GPU\(s\) requested, but torch \S+, built for CUDA \S+, sees none"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto").type == pick_device("cuda", 2).type == "cuda"
    with pytest.raises(UserError, match=r"3 GPU\(s\) requested, but torch sees 2; choose fewer, or the CPU"):
        pick_device("cuda", 3)


def test_float32_convolutions_on_a_gpu_are_not_rounded_to_tf32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # torch's default
    pick_device("cuda")
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (None, UUIDS),
        ("", []),
        ("-1", []),
        ("2, 0", ["GPU-2c", "GPU-0a"]),
        ("GPU-1b,0", ["GPU-1b", "GPU-0a"]),
        ("GPU-2", ["GPU-2c"]),
        ("0,7,1", ["GPU-0a"]),
        ("MIG-5d", ["MIG-5d"]),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(chosen, left):
    assert visible(UUIDS, chosen) == left


@pytest.fixture
def start(tmp_path):
    """Start a process that holds `count` of two devices until it is killed."""
    started = []

    def start(count: int) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = python(HOLDER, tmp_path / "locks", count, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow" / "scripts")} | options.pop("env", {})
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, env=environment, **options)


def said(stream) -> str:
    """Return the next line, which has to arrive within a minute."""
    assert select.select([stream], [], [], 60)[0], "no output"
    return stream.readline().strip()


def test_a_killed_process_frees_its_device(start):
    first, second = start(1), start(1)
    assert {said(first.stdout), said(second.stdout)} == {"GPU-a", "MIG-GPU-b/1/0"}
    third = start(1)
    assert said(third.stderr).startswith("waiting until 1 of 2 GPUs are free")
    first.kill()
    freed = said(third.stdout)
    second.kill()
    assert {freed, said(start(1).stdout)} == {"GPU-a", "MIG-GPU-b/1/0"}


def test_a_process_that_waits_for_two_devices_holds_none(start):
    one = start(1)
    said(one.stdout)
    both = start(2)
    assert said(both.stderr).startswith("waiting until 2 of 2")
    other = start(1)
    assert said(other.stdout) == "MIG-GPU-b/1/0"
    one.kill()
    other.kill()
    assert said(both.stdout) == "GPU-a MIG-GPU-b/1/0"


def test_further_processes_use_the_devices_of_the_first(tmp_path):
    """nvidia-smi is replaced by a list of simulated GPUs."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(UUIDS))
    (tmp_path / "nvidia-smi").chmod(0o755)
    code = "import os, torch\nfrom relative_performer.training.devices import hold_gpus\n"
    code += "with hold_gpus(torch.device('cuda'), 2): print(os.environ['CUDA_VISIBLE_DEVICES'])"
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    environment = {"PATH": path, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "2,1,0"}
    for further, seen in (({}, "GPU-2c,GPU-1b"), ({folders.JOIN: "run"}, "2,1,0")):
        with python(code, env=environment | further, stdout=subprocess.PIPE) as process:
            assert process.communicate()[0].strip() == seen
    assert {path.name for path in (tmp_path / "relative_performer_gpus").iterdir()} >= {"GPU-2c", "GPU-1b"}


def test_further_processes_end_with_the_first(tmp_path):
    child = "import threading\nfrom relative_performer.training.devices import end_with_parent\nend_with_parent()\n"
    child += "print('here', flush=True)\nthreading.Event().wait()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with python(parent, stdout=subprocess.PIPE) as process:
        assert said(process.stdout) == "here"
        process.kill()
        assert said(process.stdout) == ""  # the pipe closes when both have ended


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 4)])
def test_every_image_belongs_to_one_part_of_one_process(processes, parts):
    images, labels = torch.arange(10), torch.arange(10)
    shares = [list(Batches(images, labels, 3, 0, process, processes, parts)) for process in range(processes)]
    assert {len(share) for share in shares} == {4 * parts}
    assert sorted(torch.cat([x[:own] for share in shares for x, _, own, _ in share]).tolist()) == list(range(10))
    assert all(len(x) and size in (3, 1) for share in shares for x, _, _, size in share)


def test_an_nvidia_smi_that_hangs_is_reported_and_not_waited_for(tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60")
    (tmp_path / "nvidia-smi").chmod(0o755)
    code = "from relative_performer.training import devices\ndevices.ANSWER = 0.2\nprint(devices.gpus())"
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    with python(code, env={"PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, error = process.communicate()
    assert out.strip() == "[]"
    assert "nvidia-smi gave no answer in 0.2 s" in error
