"""Datasets: downloads from a real server with real faults, hostile archives, pixels, splits and the prepared file."""

import gzip
import hashlib
import io
import multiprocessing
import os
import pickle
import resource
import select
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import SCRIPTS
from relative_performer.data import DATASETS, decode, download, prepared
from relative_performer.data.archives import prepare
from relative_performer.data.shifts import shiftable
from relative_performer.errors import UserError

SCRIPT = SCRIPTS / "prepare_data.py"
DIGITS = DATASETS["Digits"]
PAYLOAD = np.random.default_rng(0).bytes(300_000)
HALF = len(PAYLOAD) // 2


def visible(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# --- downloads ---


class Handler(BaseHTTPRequestHandler):
    """Serves PAYLOAD under /FAULT/... with that fault, and records the path and Range of every request."""

    requests: list[tuple[str, str | None]]

    def do_GET(self):
        fault, wanted = self.path.split("/")[1], self.headers["Range"]
        self.requests.append((fault, wanted))
        start = int(wanted[6:-1]) if wanted and fault != "whole" else 0
        match fault:
            case "forbidden":
                self.send_error(403)
            case "missing":
                self.send_error(404)
            case "broken":
                self.send_error(500)
            case "page":
                self.answer(200, b"<html>Please log in</html>")
            case "empty":
                self.answer(200, b"")
            case "other":
                self.answer(200, PAYLOAD[::-1])
            case "hang":
                self.rfile.read(1)  # until the client gives up
            case "stuck":
                self.answer(200, PAYLOAD[:HALF], **{"Content-Length": str(len(PAYLOAD))})
                self.rfile.read(1)
            case "pausing":
                self.answer(200, PAYLOAD[:HALF], **{"Content-Length": str(len(PAYLOAD))})
                select.select([self.connection], [], [], 0.5)  # time for other processes to send requests
                self.wfile.write(PAYLOAD[HALF:])
            case "drip":
                self.answer(200, b"", **{"Content-Length": str(len(PAYLOAD))})
                self.drip(b"x")
            case "drip-header":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                self.drip(b"x")
            case "continue":
                self.drip(b"HTTP/1.1 100 Continue\r\n\r\n", seconds=0)
            case "endless-redirect":
                self.send_response(302)
                self.send_header("Location", "/good/a.gz")
                self.end_headers()
                self.drip(bytes(2**16), seconds=0)
            case "chain":
                self.answer(302, b"", Location=f"{self.path}x")
            case "to-file":
                self.answer(302, b"", Location=Path(__file__).as_uri())
            case "garbage":
                self.wfile.write(b"\x00\xff" * 1000)
            case "lengthy":
                self.answer(200, b"", **{"Content-Length": "9" * 5000})
            case "negative":
                self.answer(200, b"", **{"Content-Length": "-5"})
            case "escapes":
                self.wfile.write(b"HTTP/1.1 500 \x1b[31mred\x07" + b"!" * 5000 + b"\r\n\r\n")
            case "loop":
                self.answer(302, b"", Location=self.path)
            case "huge":
                self.answer(200, b"x", **{"Content-Length": str(10**12)})
            case "no-length":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(PAYLOAD)
            case "cut":
                self.answer(200, PAYLOAD[:HALF], **{"Content-Length": str(len(PAYLOAD))})
            case "cut-once" if start == 0:
                self.answer(200, PAYLOAD[:HALF], **{"Content-Length": str(len(PAYLOAD))})
            case _ if start >= len(PAYLOAD):
                self.send_error(416)
            case _ if start:
                end = len(PAYLOAD) - (fault == "shifted")
                shown = start - (fault == "shifted")
                self.answer(206, PAYLOAD[start:], **{"Content-Range": f"bytes {shown}-{end - 1}/{len(PAYLOAD)}"})
            case _:
                self.answer(200, PAYLOAD)

    def answer(self, status: int, body: bytes, **headers: str):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, piece: bytes, seconds: float = 0.02):
        """Send a piece again and again until the client gives up."""
        with suppress(OSError):
            while not select.select([self.connection], [], [], seconds)[0]:
                self.wfile.write(piece)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = type("RecordingHandler", (Handler,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.url, httpd.requests = f"http://127.0.0.1:{httpd.server_port}", handler.requests
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield httpd
        httpd.shutdown()


@pytest.fixture
def dead_url():
    with socket.socket() as unused:  # bound but not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/a.gz"


def fetch(folder: Path, *urls: str) -> bytes:
    return download.fetch("a.gz", md5(PAYLOAD), urls, folder).read_bytes()


FAULTS = {
    "forbidden": "HTTP 403",
    "missing": "HTTP 404",
    "broken": "HTTP 500",
    "page": f"another file, of 26 bytes with MD5 {md5(b'<html>Please log in</html>')}",
    "empty": "another file, of 0 bytes with MD5 ",
    "other": "another file, of 300,000 bytes with MD5 ",
    "loop": "HTTP 302",
    "chain": "HTTP 302",
    "to-file": "HTTP 302",
    "huge": "offers 1,000,000,000,000 bytes",
    "lengthy": "4300",
    "negative": "another file, of 0 bytes with MD5 ",
    "garbage": "\\x00",
    "escapes": r"HTTP 500 \x1b[31mred\x07!!!",
    "cut": f"broke off after {HALF:,} of {len(PAYLOAD):,} bytes",
}


@pytest.mark.fault
@pytest.mark.parametrize("fault", [*FAULTS, "cut-once", "whole", "endless-redirect"])
def test_second_mirror_replaces_a_faulty_first_one(server, tmp_path, fault):
    assert fetch(tmp_path, f"{server.url}/{fault}/a.gz", f"{server.url}/good/a.gz") == PAYLOAD
    assert visible(tmp_path) == ["a.gz"]


@pytest.mark.fault
def test_when_every_mirror_fails_one_line_says_why(server, dead_url, tmp_path):
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, *(f"{server.url}/{fault}/a.gz" for fault in FAULTS), dead_url)
    message = str(caught.value)
    assert message.isprintable()
    for text in ("a.gz", md5(PAYLOAD), "--mirror", f"{dead_url}: [Errno 111]"):
        assert text in message
    for fault, reason in FAULTS.items():
        assert reason in message.split(f"/{fault}/a.gz: ")[1].split(";")[0]
    assert visible(tmp_path) == ["a.gz.part"]  # left by the cut download for the next call


@pytest.mark.fault
@pytest.mark.parametrize("fault", ["hang", "stuck", "drip", "drip-header", "continue"])
def test_an_endless_mirror_times_out(server, tmp_path, fault):
    with pytest.raises(UserError, match=f"/{fault}/a.gz: is too slow: .* in 0.2 s"):
        download.fetch("a.gz", md5(PAYLOAD), [f"{server.url}/{fault}/a.gz"], tmp_path, timeout=0.2)
    assert visible(tmp_path) == []


@pytest.mark.fault
def test_second_mirror_replaces_one_that_hangs(server, tmp_path):
    urls = [f"{server.url}/{fault}/a.gz" for fault in ("hang", "good")]
    assert download.fetch("a.gz", md5(PAYLOAD), urls, tmp_path, timeout=3).read_bytes() == PAYLOAD


def _get_and_save(url: str, folder: Path, digits: dict[str, np.ndarray]) -> None:
    download.fetch("a.gz", md5(PAYLOAD), [url], folder)
    for _ in range(20):
        prepared.save(digits, folder / "Digits.npz")


@pytest.mark.fault
def test_processes_that_prepare_the_same_dataset_at_once_do_not_disturb_each_other(server, digits, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        done = pool.starmap_async(_get_and_save, [(f"{server.url}/pausing/a.gz", tmp_path, digits)] * 3, chunksize=1)
        while not done.ready():
            if (tmp_path / "Digits.npz").exists():
                prepared.load(DIGITS, tmp_path)
        done.get()
    assert server.requests == [("pausing", None)]
    assert visible(tmp_path) == ["Digits.npz", "a.gz"]


def test_failed_connection_leaves_nothing(dead_url, tmp_path):
    with pytest.raises(UserError, match="refused"):
        fetch(tmp_path, dead_url)
    assert visible(tmp_path) == []


def test_cut_download_asks_only_for_the_rest(server, tmp_path):
    assert fetch(tmp_path, f"{server.url}/cut-once/a.gz") == PAYLOAD
    assert server.requests == [("cut-once", None), ("cut-once", f"bytes={HALF}-")]


@pytest.mark.parametrize(
    ("part", "fault", "ranges"),
    [
        (PAYLOAD[:1000], "good", ["bytes=1000-"]),
        (PAYLOAD[:1000], "whole", ["bytes=1000-"]),  # the server ignores Range
        (PAYLOAD, "good", []),
        (PAYLOAD + b"x", "good", ["bytes=300001-", None]),  # 416
        (b"damaged", "good", ["bytes=7-", None]),
    ],
)
def test_part_of_an_earlier_call_is_continued(server, tmp_path, part, fault, ranges):
    (tmp_path / "a.gz.part").write_bytes(part)
    assert fetch(tmp_path, f"{server.url}/{fault}/a.gz") == PAYLOAD
    assert [wanted for _, wanted in server.requests] == ranges
    assert visible(tmp_path) == ["a.gz"]


def test_wrong_range_is_not_appended(server, tmp_path):
    (tmp_path / "a.gz.part").write_bytes(PAYLOAD[:1000])
    with pytest.raises(UserError, match="another range"):
        fetch(tmp_path, f"{server.url}/shifted/a.gz")
    assert (tmp_path / "a.gz.part").read_bytes() == PAYLOAD[:1000]


@pytest.mark.parametrize(("fault", "reason"), [("good", "offers 300,000 bytes"), ("no-length", "sent more than")])
def test_size_is_bounded(server, tmp_path, monkeypatch, fault, reason):
    monkeypatch.setattr(download, "MAX_BYTES", len(PAYLOAD) - 1)
    with pytest.raises(UserError, match=reason):
        fetch(tmp_path, f"{server.url}/{fault}/a.gz")
    assert visible(tmp_path) == []


def test_cached_archive_is_checked_again(server, tmp_path):
    (tmp_path / "a.gz").write_bytes(b"damaged")
    for _ in range(2):
        assert fetch(tmp_path, f"{server.url}/good/a.gz") == PAYLOAD
    assert len(server.requests) == 1


@pytest.mark.parametrize("mirror", ["ftp://host/x", "no/such/folder", "http:/typo"])
def test_impossible_mirror_is_named(tmp_path, mirror):
    with pytest.raises(UserError, match=f"--mirror {mirror}"):
        prepare(DATASETS["MNIST"], tmp_path, mirror)


# --- MNIST and FashionMNIST ---


def idx(array: np.ndarray, count: int | None = None, magic: int | None = None) -> bytes:
    shape = (len(array) if count is None else count, *array.shape[1:])
    header = struct.pack(f">{1 + len(shape)}I", magic or 0x0800 + len(shape), *shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), 1, mtime=0)


def tiny_mnist() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    counts = {"train": 5_100, "t10k": 40}
    images = {f"{k}-images-idx3-ubyte.gz": rng.integers(0, 256, (n, 28, 28)) for k, n in counts.items()}
    return images | {f"{k}-labels-idx1-ubyte.gz": np.arange(n) % 10 for k, n in counts.items()}


def write_mirror(folder: Path, archives: dict[str, bytes]) -> dict[str, str]:
    """Write the archives and return their checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    return {name: md5(content) for name, content in archives.items()}


@pytest.mark.parametrize("layout", ["fashion-mnist", "."])
def test_mnist_is_resized_and_split_as_by_random_split(tmp_path, layout):
    raw = tiny_mnist()
    checksums = write_mirror(tmp_path / layout, {name: idx(array) for name, array in raw.items()})
    arrays = prepare(DATASETS["FashionMNIST"], tmp_path / "cache", str(tmp_path), checksums)
    prepared.save(arrays, tmp_path / "FashionMNIST.npz")
    loaded = prepared.load(DATASETS["FashionMNIST"], tmp_path)
    train, val = torch.utils.data.random_split(range(5_100), [100, 5_000], torch.Generator().manual_seed(42))
    for split, rows in (("train", train.indices), ("val", val.indices)):
        np.testing.assert_array_equal(loaded[f"{split}_labels"], np.array(rows) % 10)
        image = raw["train-images-idx3-ubyte.gz"][rows[0]].astype(np.uint8)
        resized = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(loaded[f"{split}_images"][0, :, :, 0], resized)
    assert loaded["test_images"].shape == (40, 32, 32, 1)
    assert not list(tmp_path.rglob("*.part"))


IMAGES, LABELS = np.zeros((40, 28, 28)), np.zeros(40)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("archive", "content", "reason"),
    [
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES, count=41), "31360 bytes follow a header for 32144"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES, count=39), "31360 bytes follow a header for 30576"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES, magic=0x0D03), "magic number 3331"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES, count=2**32 - 1), "follow a header"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES, count=0), "31360 bytes follow a header for 0"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES, count=2**31 + 40), "31360 bytes follow a header for"),
        ("t10k-images-idx3-ubyte.gz", idx(LABELS), "not those of"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES[:0]), "0 bytes|shapes"),
        ("t10k-images-idx3-ubyte.gz", b"", "too short for an idx file"),
        ("t10k-images-idx3-ubyte.gz", idx(np.zeros((40, 28, 27))), "not those of"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES)[:-20], "cannot unpack"),
        ("t10k-images-idx3-ubyte.gz", b"<html>", "cannot unpack"),
        ("t10k-labels-idx1-ubyte.gz", idx(LABELS + 10), "labels are not all in 0..9"),
        ("t10k-labels-idx1-ubyte.gz", idx(LABELS[1:]), "shapes"),
        ("t10k-labels-idx1-ubyte.gz", gzip.compress(b"\0\0", mtime=0), "too short"),
        ("train-images-idx3-ubyte.gz", None, "40 training images are too few"),
    ],
)
def test_wrong_idx_file_is_refused(tmp_path, archive, content, reason):
    good = {name: idx(array[:40]) for name, array in tiny_mnist().items()}
    checksums = write_mirror(tmp_path / "mnist", good | ({} if content is None else {archive: content}))
    with pytest.raises(UserError, match=reason) as caught:
        prepare(DATASETS["MNIST"], tmp_path / "cache", str(tmp_path), checksums)
    assert str(tmp_path / "cache") in str(caught.value)


def test_unpacking_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_BYTES", 1000)
    checksums = write_mirror(tmp_path, {name: idx(array) for name, array in tiny_mnist().items()})
    with pytest.raises(UserError, match="holds more than 1,000 bytes"):
        prepare(DATASETS["MNIST"], tmp_path / "cache", str(tmp_path), checksums)


@pytest.mark.parametrize("dataset", ["MNIST", "FashionMNIST"])
def test_official_archives(tmp_path, dataset, mirror):
    from torchvision.transforms.v2 import functional

    arrays = prepare(DATASETS[dataset], tmp_path, mirror)
    shapes = [arrays[f"{split}_images"].shape for split in prepared.SPLITS]
    assert shapes == [(n, 32, 32, 1) for n in (55_000, 5_000, 10_000)]
    labels = np.bincount(arrays["train_labels"]) + np.bincount(arrays["val_labels"])
    official = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949] if dataset == "MNIST" else [6000] * 10
    assert labels.tolist() == official
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz") as stream:
        raw = torch.tensor(list(stream.read(16 + 200 * 784)[16:]), dtype=torch.uint8).view(200, 1, 28, 28)
    resized = functional.resize(raw, [32, 32]).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(arrays["test_images"][:200], resized.numpy())


def test_images_at_half_their_side_are_means_of_four_pixels(tmp_path, mirror):
    whole, half = (prepare(DATASETS[name], tmp_path, mirror) for name in ("MNIST", "MNIST16"))
    for split in prepared.SPLITS:
        np.testing.assert_array_equal(half[f"{split}_labels"], whole[f"{split}_labels"])
    images = whole["test_images"][:200].astype(float)
    mean = (images[:, ::2, ::2] + images[:, ::2, 1::2] + images[:, 1::2, ::2] + images[:, 1::2, 1::2]) / 4
    np.testing.assert_array_equal(half["test_images"][:200], np.round(mean))


# --- CIFAR10 ---

MEMBERS = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Return the batch as pickled by Python 2 and its numpy, which is the format of the official archive."""
    shape = b"".join(b"J" + struct.pack("<i", size) for size in pixels.shape) + b"\x86"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    raw = b"\x89T" + struct.pack("<i", pixels.nbytes) + pixels.tobytes() + b"tb"
    return b"\x80\x02}(U\x06labels" + numbers + b"U\x04data" + array + dtype + raw + b"u."


def cifar10_batches(count: int) -> tuple[np.ndarray, list[dict]]:
    images = np.zeros((5 * count + 40, 32, 32, 3), np.uint8)
    images[:, 1, 2] = np.random.default_rng(2).integers(0, 256, (len(images), 3))
    rows = np.split(images.transpose(0, 3, 1, 2).reshape(-1, 3072), count * np.arange(1, 6))
    return images, [{"data": part, "labels": [k % 10 for k in range(len(part))]} for part in rows]


def prepare_cifar10(tmp_path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> dict[str, np.ndarray]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo()
            info.name = info.name or f"cifar-10-batches-py/{name}"
            blob = b"" if info is content else content
            info.size = len(blob)
            archive.addfile(info, io.BytesIO(blob))
    checksums = write_mirror(tmp_path / "cifar10", {"cifar-10-python.tar.gz": stream.getvalue()})
    return prepare(DATASETS["CIFAR10"], tmp_path / "cache", str(tmp_path), checksums)


def test_cifar10_of_python_2_and_3(tmp_path):
    images, batches = cifar10_batches(1_010)
    blobs = [python2_pickle(pixels=batches[0]["data"], labels=batches[0]["labels"])]
    batches[1]["data"] = np.asfortranarray(batches[1]["data"])
    blobs += [pickle.dumps(batch, protocol=2) for batch in batches[1:]]
    arrays = prepare_cifar10(tmp_path, dict(zip(MEMBERS, blobs, strict=True)))
    order = torch.randperm(5_050, generator=torch.Generator().manual_seed(42)).numpy()
    np.testing.assert_array_equal(arrays["train_images"], images[order[:50]])
    np.testing.assert_array_equal(arrays["val_images"], images[order[50:]])
    np.testing.assert_array_equal(arrays["val_labels"], order[50:] % 1_010 % 10)
    np.testing.assert_array_equal(arrays["test_images"], images[5_050:])


class Malicious:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def entry(kind: bytes, name: str = "", link: str = "", **more: dict[str, str]) -> tarfile.TarInfo:
    """Return a tar entry that is not a regular file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, more
    return info


def hostile(tmp_path: Path) -> dict[str, tuple[bytes | tarfile.TarInfo, str]]:
    """Return contents that replace a batch, each with its error."""
    _, (batch, *_) = cifar10_batches(10)
    whole = pickle.dumps(batch, 2)
    nested: list = [0]
    for _ in range(30):
        nested = [nested, nested]
    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(10**12), "GNU.sparse.map": "0,0"}
    outside, folder = str(tmp_path / "harm"), "cifar-10-batches-py"
    return {
        "code": (pickle.dumps(batch | {"labels": Malicious(tmp_path / "harm")}, 2), "data_batch_1: refused the global"),
        "builtin": (b"\x80\x02c__builtin__\neval\nU\x011\x85R.", "refused the global __builtin__.eval"),
        "nested global": (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "refused the global numpy.ndarray.dumps"),
        "extension": (b"\x80\x02\x82\x01.", "unregistered extension code"),
        "persistent": (b"\x80\x02U\x01aQ.", "unsupported persistent id"),
        "damaged": (whole[:-100], "data_batch_1: damaged"),
        "empty": (b"", "data_batch_1: damaged"),
        "no dict": (pickle.dumps([1], 2), "data_batch_1: "),
        "float": (pickle.dumps(batch | {"data": batch["data"].astype(np.float32)}, 2), "not an array of bytes"),
        "objects": (pickle.dumps(batch | {"data": batch["data"].astype(object)}, 2), "not an array of bytes"),
        "labels": (pickle.dumps(batch | {"labels": ["cat"] * 10}, 2), "not a list of integers"),
        "label 10": (pickle.dumps(batch | {"labels": [10] * 10}, 2), "not a list of integers in 0..9"),
        "huge label": (pickle.dumps(batch | {"labels": [2**70] * 10}, 2), "not a list of integers in 0..9"),
        "nested labels": (pickle.dumps(batch | {"labels": nested}, 2), "not a list of integers in 0..9"),
        "few labels": (
            pickle.dumps(batch | {"labels": [1]}, 2),
            "are not those of CIFAR10: training images and labels have shapes",
        ),
        "width": (pickle.dumps(batch | {"data": batch["data"][:, 1:]}, 2), "data_batch_1: .*reshape"),
        "huge bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", "data_batch_1: "),
        "symbolic link": (entry(tarfile.SYMTYPE, link="data_batch_2"), "data_batch_1: not a regular file"),
        "hard link": (entry(tarfile.LNKTYPE, link=f"{folder}/data_batch_2"), "data_batch_1: not a regular file"),
        "device": (entry(tarfile.CHRTYPE), "data_batch_1: not a regular file"),
        "pipe": (entry(tarfile.FIFOTYPE), "data_batch_1: not a regular file"),
        "sparse": (entry(tarfile.REGTYPE, f"{folder}/data_batch_1", **sparse), "data_batch_1: not a regular file"),
        "absolute": (entry(tarfile.REGTYPE, outside), "harm: not a regular file in cifar-10-batches-py"),
        "upwards": (entry(tarfile.REGTYPE, f"{folder}/../harm"), "harm: not a regular file in cifar-10-batches-py"),
        "escapes": (entry(tarfile.REGTYPE, "\x1b[31m\nred"), r"red: not a regular file in cifar-10-batches-py"),
    }


CASES = list(hostile(Path("nowhere")))


@pytest.mark.fault
@pytest.mark.parametrize("case", CASES)
def test_hostile_cifar10_is_refused(tmp_path, case, little_memory):
    content, reason = hostile(tmp_path)[case]
    _, batches = cifar10_batches(10)
    members = {name: pickle.dumps(batch, 2) for name, batch in zip(MEMBERS, batches, strict=True)}
    with pytest.raises(UserError, match=reason) as caught:
        prepare_cifar10(tmp_path, members | {"data_batch_1": content})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert sorted(os.listdir(tmp_path)) == ["cache", "cifar10"]


@pytest.fixture
def little_memory():
    """Limit this process to 2 GiB of additional address space, so that a bomb cannot harm the machine."""
    former = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, former[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, former)


@pytest.mark.fault
def test_a_pickle_that_claims_billions_of_objects_takes_no_memory_for_them(tmp_path, little_memory):
    _, batches = cifar10_batches(1_010)
    members = {name: pickle.dumps(batch, 2) for name, batch in zip(MEMBERS, batches, strict=True)}
    members["data_batch_1"] = members["data_batch_1"][:-1] + b"r" + struct.pack("<I", 2**32 - 1) + b"."
    assert len(prepare_cifar10(tmp_path, members)["test_labels"]) == 40


@pytest.mark.fault
@pytest.mark.parametrize("harm", ["many", "backwards"])
def test_tar_files_without_end_are_refused(tmp_path, harm):
    info = tarfile.TarInfo("cifar-10-batches-py/x")
    block = info.tobuf(tarfile.USTAR_FORMAT)
    if harm == "backwards":  # a size of −512, so that the next header is this one again
        block = bytearray(block)
        block[124:136] = b"\xff" * 10 + struct.pack(">h", -512)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    content = gzip.compress(bytes(block) * (1 if harm == "backwards" else 200_000), 1)
    checksums = write_mirror(tmp_path / "cifar10", {"cifar-10-python.tar.gz": content})
    with pytest.raises(UserError, match="no cifar-10-batches-py/data_batch_1 among its first 100 files"):
        prepare(DATASETS["CIFAR10"], tmp_path / "cache", str(tmp_path), checksums)


def test_missing_member_is_named(tmp_path):
    with pytest.raises(UserError, match="data_batch_1"):
        prepare_cifar10(tmp_path, {"data_batch_11": b""})


# --- Digits and the prepared file ---


@pytest.fixture(scope="module")
def digits():
    return prepare(DIGITS, Path("unused"))


def test_digits_are_in_the_middle_of_a_black_image(digits):
    assert [len(digits[f"{split}_labels"]) for split in prepared.SPLITS] == [1297, 250, 250]
    images = np.concatenate([digits[f"{split}_images"] for split in prepared.SPLITS])
    centre = images[:, 4:12, 4:12]
    assert images.sum() == centre.sum()
    assert (centre.min(), centre.max()) == (0, 255)
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797


def test_every_test_image_of_digits_can_move_by_three_columns(digits):
    images, labels = (torch.from_numpy(digits[f"test_{kind}"]) for kind in ("images", "labels"))
    assert shiftable(images, labels, range(10), min_shift=3).all()


def test_digits_file_is_always_the_same(digits, tmp_path):
    for folder, arrays in (("a", digits), ("b", prepare(DIGITS, Path("unused")))):
        prepared.save(arrays, tmp_path / folder / "Digits.npz")
    first, second = (md5((tmp_path / folder / "Digits.npz").read_bytes()) for folder in "ab")
    assert first == second
    assert md5(b"".join(array.tobytes() for array in digits.values())) == "f5e5aabed703de62b62412d174c90da6"


def change(arrays: dict[str, np.ndarray], **changes) -> dict[str, np.ndarray]:
    return {key: array for key, array in (arrays | changes).items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"val_labels": None}, "val_labels"),
        ({"val_labels": np.full(250, 10)}, "val labels are not all in 0..9"),
        ({"val_labels": np.full(250, -1)}, "val labels are not all in 0..9"),
        ({"val_labels": np.zeros(250, np.int32)}, "int32"),
        ({"val_labels": np.array([None] * 250)}, "cannot be read"),
        ({"test_images": np.zeros((250, 16, 16, 3), np.uint8)}, "(250, 16, 16, 3)"),
        ({"test_images": np.zeros((249, 16, 16, 1), np.uint8)}, "(249, 16, 16, 1)"),
    ],
)
def test_load_names_file_fault_and_remedy(digits, tmp_path, changes, reason):
    file = tmp_path / "Digits.npz"
    np.savez(file, **change(digits, **changes))
    with pytest.raises(UserError) as caught:
        prepared.load(DIGITS, tmp_path)
    assert reason in str(caught.value)
    assert f"prepare_data.py Digits --out {file}" in str(caught.value)


@pytest.mark.fault
def test_load_of_a_missing_or_truncated_file(digits, tmp_path):
    file = tmp_path / "Digits.npz"
    with pytest.raises(UserError, match=f"is missing; .*prepare_data.py Digits --out {file}"):
        prepared.load(DIGITS, tmp_path)
    prepared.save(digits, file)
    content = file.read_bytes()
    for damaged in (content[:-1000], content[:50_000] + b"\x55" + content[50_001:], b""):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=f"prepare_data.py Digits --out {file}"):
            prepared.load(DIGITS, tmp_path)


@pytest.mark.fault
def test_load_of_a_file_that_would_run_code_or_fill_the_memory(digits, tmp_path, little_memory):
    file = tmp_path / "Digits.npz"

    def refused(reason: str) -> None:
        with pytest.raises(UserError, match=reason):
            prepared.load(DIGITS, tmp_path)

    np.savez(file, **digits | {"val_labels": np.array([Malicious(tmp_path / "harm")])})
    refused("cannot be read .*allow_pickle=False")
    file.write_bytes(pickle.dumps(Malicious(tmp_path / "harm")))
    refused("cannot be read .*not a zip file")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("train_images.npy", bytes(2**30 + 1))
    refused("holds more than 1,073,741,824 bytes")
    for shape in ("(100000000000, 32, 32, 1)", "(-1, 32, 32, 1)", "(4294967296, 4294967296, 32, 1)", "(250,) * 10**9"):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
        array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(1000)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("train_images.npy", array)
        refused("Digits.npz cannot be read")
    assert os.listdir(tmp_path) == ["Digits.npz"]
    file.unlink()
    os.mkfifo(file)
    refused("is missing")


def test_failed_save_leaves_the_former_file(digits, tmp_path):
    file = tmp_path / "Digits.npz"
    prepared.save(digits, file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        prepared.save(change(digits, val_labels=np.array([None])), file)
    assert file.read_bytes() == before
    assert visible(tmp_path) == ["Digits.npz"]
    with pytest.raises(UserError, match="cannot write"):
        prepared.save(digits, file / "below_a_file.npz")


# --- the command ---


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_command_writes_what_load_reads(digits, tmp_path):
    result = command("Digits", "--out", tmp_path / "Digits.npz")
    assert (result.returncode, result.stderr) == (0, "")
    for key, array in prepared.load(DIGITS, tmp_path).items():
        np.testing.assert_array_equal(array, digits[key])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["MNIST", "--mirror", "no/such/folder"], "no/such/folder"),
        (["MNIST", "--md5", "train.gz=0"], "32 hexadecimal digits"),
        (["CIFAR10", "--md5", "cifar-10-python.tgz=" + "0" * 32], "did you mean cifar-10-python.tar.gz?"),
    ],
)
def test_command_reports_in_one_line(tmp_path, arguments, reason):
    result = command(*arguments, "--out", tmp_path / "out.npz")
    assert (result.returncode, result.stdout) == (2, "")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.fault
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path):
    """4 GiB of zeros in 4 MiB."""
    bomb = gzip.compress(bytes(2**28)) * 16
    archives = DATASETS["CIFAR10"].archives
    words = [f"--md5={name}={md5}" for name, md5 in write_mirror(tmp_path, dict.fromkeys(archives, bomb)).items()]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "CIFAR10", "--out", tmp_path / "out.npz", "--mirror", tmp_path, *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "holds more than 419,430,400 bytes" in said
    assert usage.ru_maxrss < 1.5 * 2**20  # KiB
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.fault
@pytest.mark.parametrize("words", [["Digits"], ["MNIST", "--mirror", "mirror"]])
def test_a_full_disk_leaves_nothing_under_a_final_name(tmp_path, words):
    checksums = write_mirror(tmp_path / "mirror", {name: idx(array) for name, array in tiny_mnist().items()})
    if words[0] == "MNIST":
        words += [f"--md5={name}={md5}" for name, md5 in checksums.items()]
    limited = 'ulimit -f 100; exec "$@"'  # limits files to 100 KiB
    line = ["bash", "-c", limited, "bash", sys.executable, SCRIPT, *words, "--out", "Digits.npz"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert not (tmp_path / "Digits.npz").exists()
    assert not list(tmp_path.glob("archives/*/*.gz"))
