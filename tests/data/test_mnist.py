"""MNIST and Fashion-MNIST: where they are sought, files that are not they, and the download."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import shutil
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import files, lookup
from edgebig.data import idx as idx_files
from edgebig.data import mnist
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError

Arrays = dict[str, np.ndarray]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def made_up(seed: int) -> Arrays:
    """600 + 100 made-up pictures."""
    random = np.random.default_rng(seed)
    arrays: Arrays = {}
    for part, n in (("train", 600), ("t10k", 100)):
        arrays[f"{part}-images"] = random.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{part}-labels"] = (np.arange(n, dtype=np.uint8) + seed) % 10
    return arrays


@dataclasses.dataclass
class Small:
    """A data set that passes for `known`, by its hashes put in the place of the right ones."""

    known: mnist.Known
    arrays: Arrays

    def load(self, folder: Path | None = None) -> tuple[Examples, Examples]:
        return mnist.load(self.known, folder)

    def problem(self, folder: Path | None = None) -> str:
        with pytest.raises(EdgebigError) as caught:
            self.load(folder)
        assert caught.value.hint
        return caught.value.problem


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Small]:
    small = {}
    for seed, known in enumerate(mnist.KNOWN):
        arrays = made_up(seed)
        digests = {part: files.sha256_bytes(array.tobytes()) for part, array in arrays.items()}
        small[known.source] = Small(dataclasses.replace(known, sha256=digests), arrays)
    monkeypatch.setattr(mnist, "KNOWN", tuple(each.known for each in small.values()))
    # This machine may have Debian's package.
    monkeypatch.setattr(mnist, "_SYSTEM", tmp_path_factory.mktemp("system"))
    return small


@pytest.fixture
def small(both: dict[str, Small]) -> Small:
    return both["mnist"]


@pytest.fixture
def fashion(both: dict[str, Small]) -> Small:
    return both["fashion-mnist"]


def put_idx(folder: Path, arrays: Arrays, *, packed: bool = True, dot: str = "-") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in arrays.items():
        name = f"{part}{dot}idx{array.ndim}-ubyte"
        data = idx(array)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, 1) if packed else data)


def npz(arrays: Arrays) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(
        data, x_train=arrays["train-images"], y_train=arrays["train-labels"],
        x_test=arrays["t10k-images"], y_test=arrays["t10k-labels"],
    )  # fmt: skip
    return data.getvalue()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_a_folder_of_idx_files(tmp_path: Path, small: Small, packed: bool, dot: str, below: str) -> None:
    put_idx(tmp_path / "größe here" / below, small.arrays, packed=packed, dot=dot)
    train, test = small.load(tmp_path / "größe here")
    assert (len(train), len(test)) == (600, 100)


def test_a_folder_with_an_npz(tmp_path: Path, small: Small) -> None:
    (tmp_path / "mnist.npz").write_bytes(npz(small.arrays))
    assert np.array_equal(small.load(tmp_path)[1].labels, small.arrays["t10k-labels"])


def test_the_order_of_places(
    tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch, users_state: Path
) -> None:
    """--data, then EDGEBIG_DATA, then the Keras cache, then the own cache: the first one decides, even if broken."""
    own, keras = lookup.cache_dir() / "mnist.npz", users_state / ".keras" / "datasets" / "mnist.npz"
    own.parent.mkdir(parents=True)
    own.write_bytes(npz(small.arrays))
    assert len(small.load()[0]) == 600
    keras.parent.mkdir(parents=True)
    keras.write_bytes(b"broken")
    assert small.problem().startswith(f"{keras}: not MNIST as Keras stores it")
    keras_home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    assert len(small.load()[0]) == 600
    environment = tmp_path / "environment"
    environment.mkdir()
    monkeypatch.setenv("EDGEBIG_DATA", str(environment))
    assert small.problem() == f"EDGEBIG_DATA {environment}: no MNIST there"
    put_idx(environment, small.arrays)
    assert len(small.load()[0]) == 600
    assert small.problem(tmp_path) == f"--data {tmp_path}: no MNIST there"


def test_data_that_is_no_folder(tmp_path: Path, small: Small) -> None:
    file = tmp_path / "mnist.npz"
    file.write_bytes(b"")
    assert small.problem(file) == f"--data {file}: a file, not a folder"
    assert small.problem(tmp_path / "none") == f"--data {tmp_path / 'none'}: no such folder"


def test_one_of_the_four_is_missing(tmp_path: Path, small: Small) -> None:
    for part in small.arrays:
        folder = tmp_path / part
        put_idx(folder, small.arrays)
        (missing,) = folder.glob(f"{part}*")
        missing.unlink()
        assert small.problem(folder) == f"{missing}: no such file"


def test_labels_out_of_range(tmp_path: Path, small: Small) -> None:
    small.arrays["t10k-labels"][7] = 10
    put_idx(tmp_path, small.arrays)
    assert small.problem(tmp_path) == f"{tmp_path}: t10k has the label 10; MNIST's are 0 to 9"


def test_fewer_labels_than_pictures(tmp_path: Path, small: Small) -> None:
    put_idx(tmp_path, {**small.arrays, "train-labels": small.arrays["train-labels"][:-1]})
    assert "train has pictures (600, 28, 28) and labels (599,)" in small.problem(tmp_path)


def test_labels_in_the_place_of_pictures(tmp_path: Path, small: Small) -> None:
    put_idx(tmp_path, small.arrays)
    shutil.copy(tmp_path / "train-labels-idx1-ubyte.gz", tmp_path / "train-images-idx3-ubyte.gz")
    assert "train has pictures (600,)" in small.problem(tmp_path)


def test_pictures_that_are_not_mnist_s(tmp_path: Path, small: Small) -> None:
    small.arrays["train-images"][3, 2, 1] ^= 1
    put_idx(tmp_path, small.arrays)
    assert small.problem(tmp_path) == f"{tmp_path}: train-images is well formed, but it is not MNIST's"


def test_another_known_data_set_is_named(tmp_path: Path, small: Small, fashion: Small) -> None:
    put_idx(tmp_path / "fashion", fashion.arrays)
    put_idx(tmp_path / "digits", small.arrays)
    put_idx(tmp_path / "mixed", {**small.arrays, "t10k-images": fashion.arrays["t10k-images"]})
    (tmp_path / "mnist.npz").write_bytes(npz(fashion.arrays))
    assert small.problem(tmp_path / "fashion") == f"{tmp_path / 'fashion'}: this is Fashion-MNIST"
    assert fashion.problem(tmp_path / "digits") == f"{tmp_path / 'digits'}: this is MNIST"
    assert small.problem(tmp_path) == f"{tmp_path / 'mnist.npz'}: this is Fashion-MNIST"
    with pytest.raises(EdgebigError) as caught:
        small.load(tmp_path / "fashion")
    assert caught.value.hint == 'use source = "fashion-mnist"'
    for each in (small, fashion):
        assert "well formed, but it is not" in each.problem(tmp_path / "mixed")


def test_both_in_one_folder(tmp_path: Path, small: Small, fashion: Small) -> None:
    put_idx(tmp_path, small.arrays)
    put_idx(tmp_path / "fashion-mnist", fashion.arrays)
    assert np.array_equal(small.load(tmp_path)[1].images[..., 0], small.arrays["t10k-images"])
    assert np.array_equal(fashion.load(tmp_path)[1].images[..., 0], fashion.arrays["t10k-images"])


def test_where_fashion_mnist_lies(
    tmp_path: Path, fashion: Small, monkeypatch: pytest.MonkeyPatch, users_state: Path
) -> None:
    """--data, then EDGEBIG_DATA, then the Keras cache, then Debian's package, then the own cache."""
    environment = tmp_path / "environment"
    environment.mkdir()
    monkeypatch.setenv("EDGEBIG_DATA", str(environment))
    assert fashion.problem() == f"EDGEBIG_DATA {environment}: no Fashion-MNIST there"
    monkeypatch.delenv("EDGEBIG_DATA")
    places = [
        lookup.cache_dir() / "fashion-mnist",
        mnist._SYSTEM / "fashion-mnist",
        users_state / ".keras" / "datasets" / "fashion-mnist",
    ]
    for place in places:
        put_idx(place, fashion.arrays)
        assert len(fashion.load()[0]) == 600
        # Each comes before the one before it: broken, it is told.
        (place / "t10k-labels-idx1-ubyte.gz").write_bytes(b"broken")
        assert fashion.problem().startswith(f"{place / 't10k-labels-idx1-ubyte.gz'}: not an idx file")
        # A cache that was not filled whole is none.
        (place / "t10k-labels-idx1-ubyte.gz").unlink()
        put_idx(places[0], fashion.arrays)
        assert len(fashion.load()[0]) == 600


def test_the_names_of_the_classes() -> None:
    assert [len(known.classes) for known in mnist.KNOWN] == [10, 10]
    assert mnist.GARMENTS[0] == "T-shirt/top"
    assert mnist.GARMENTS[9] == "Ankle boot"


def npy(head: bytes) -> bytes:
    head = head.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def member(replacement: bytes) -> Callable[[bytes], bytes]:
    """`data` with another x_test.npy."""

    def change(data: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                new.writestr(name, replacement if name == "x_test.npy" else old.read(name))
        return out.getvalue()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"random bytes",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:100_000] + bytes([data[100_000] ^ 255]) + data[100_001:],
        lambda data: npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 28, 28), }") + bytes(784),
        member(b""),
        member(b"\x93NUMPY"),
        member(npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (100, 28, 28), }")),
        member(npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }")),
        member(npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28), }")),
        member(npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 28, 28), }") + bytes(3136)),
        member(npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + b"cos\nsystem\n"),
        member(npy(b"__import__('os').abort()")),
        member(npy(b"{'descr': ")),
        member(npy(b"(" * 100)),
        member(npy(b"'")),
    ],
    ids=range(17),
)
def test_a_broken_npz(tmp_path: Path, small: Small, change: Callable[[bytes], bytes]) -> None:
    (tmp_path / "mnist.npz").write_bytes(change(npz(small.arrays)))
    problem = small.problem(tmp_path)
    assert problem.startswith(f"{tmp_path / 'mnist.npz'}: not MNIST as Keras stores it (")


def test_an_npz_of_something_else(tmp_path: Path, small: Small) -> None:
    np.savez(tmp_path / "mnist.npz", x=np.zeros(3))
    assert "not MNIST as Keras stores it" in small.problem(tmp_path)


@given(where=st.integers(0, 2**31), value=st.integers(0, 255))
def test_a_changed_byte_of_an_npz(tmp_path_factory: pytest.TempPathFactory, where: int, value: int) -> None:
    """In the zip's directory or a header, mostly: MNIST's own pixels are behind their own hashes."""
    data = bytearray(TINY_NPZ)
    data[where % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    path.write_bytes(data)
    with pytest.raises(EdgebigError):
        mnist._from_npz(mnist.MNIST, path)


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
TINY_NPZ = npz(
    {"train-images": IMAGES, "train-labels": IMAGES[0, 0], "t10k-images": IMAGES, "t10k-labels": IMAGES[0, 0]}
)


# The download


@contextlib.contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                answer(self)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(request: BaseHTTPRequestHandler, data: bytes, length: int | None = None) -> None:
    request.send_response(200)
    if length is not None:
        request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(data)


@pytest.fixture
def download(small: Small, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Points the download at a url."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mnist, "_STALLED_S", 0.2)
    return lambda url: monkeypatch.setattr(mnist, "_REMOTE", url)


def assert_nothing_kept() -> None:
    assert not lookup.cache_dir().is_dir() or list(lookup.cache_dir().iterdir()) == []


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_download_is_kept(
    download: Callable[[str], None], small: Small, capsys: pytest.CaptureFixture[str], tells_length: bool
) -> None:
    data = npz(small.arrays)
    with serving(lambda request: send(request, data, len(data) if tells_length else None)) as url:
        download(url)
        assert len(small.load()[0]) == 600
    assert capsys.readouterr().err == f"MNIST is not here; fetching it from {url}mnist.npz\n"
    assert (lookup.cache_dir() / "mnist.npz").read_bytes() == data
    assert [path.name for path in lookup.cache_dir().iterdir()] == ["mnist.npz"]
    assert len(small.load()[0]) == 600  # the server is gone


def test_fashion_mnist_is_fetched_file_by_file(
    tmp_path: Path, download: Callable[[str], None], fashion: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    put_idx(tmp_path, fashion.arrays)
    names = sorted(path.name for path in tmp_path.iterdir())
    broken = {"t10k-labels-idx1-ubyte.gz"}
    own = lookup.cache_dir() / "fashion-mnist"

    def answer(request: BaseHTTPRequestHandler) -> None:
        name = request.path[1:]
        # Well formed, and another file's: labels to train in the place of labels to test.
        send(request, (tmp_path / (name.replace("t10k", "train") if name in broken else name)).read_bytes())

    with serving(answer) as url:
        download(url)
        assert fashion.problem() == f"what came from {url}t10k-labels-idx1-ubyte.gz is not Fashion-MNIST"
        assert len(list(own.iterdir())) == 3  # what came whole is not fetched again
        capsys.readouterr()
        broken.clear()
        assert len(fashion.load()[0]) == 600
        assert capsys.readouterr().err.count("fetching it from") == 1
    assert sorted(path.name for path in own.iterdir()) == names
    assert np.array_equal(fashion.load()[1].labels, fashion.arrays["t10k-labels"])  # the server is gone


@pytest.mark.parametrize("data", [b"<html>Please log in</html>", TINY_NPZ], ids=["html", "npz"])
def test_other_bytes_are_not_kept(download: Callable[[str], None], small: Small, data: bytes) -> None:
    with serving(lambda request: send(request, data)) as url:
        download(url)
        assert small.problem() == f"what came from {url}mnist.npz is not MNIST"
    assert_nothing_kept()


def hang(request: BaseHTTPRequestHandler) -> None:
    time.sleep(0.5)


def drop(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


def drip(request: BaseHTTPRequestHandler) -> None:
    send(request, b"")
    for _ in range(40):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda request: request.send_error(404), "HTTP Error 404"),
        (lambda request: request.send_error(503), "HTTP Error 503"),
        (lambda request: request.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"), "SSH-2.0"),
        (lambda request: send(request, b"half", 1000), "broke off|IncompleteRead"),
        (hang, "timed out"),
        (drop, "closed connection|Connection reset"),
        (drip, "not done after 0 s"),
        (lambda request: send(request, b"x" * 5000), "over 4,000 bytes"),
    ],
    ids=["404", "503", "not http", "cut", "hangs", "drops", "drips", "too long"],
)
def test_a_download_that_fails(
    download: Callable[[str], None],
    small: Small,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[BaseHTTPRequestHandler], None],
    problem: str,
) -> None:
    if answer is drip:
        monkeypatch.setattr(mnist, "_DOWNLOAD_DEADLINE_S", 0.1)
    if "over" in problem:
        monkeypatch.setattr(idx_files, "LIMIT_BYTES", 4000)
    with serving(answer) as url:
        download(url)
        with pytest.raises(EdgebigError, match=f"could not be fetched: .*({problem})") as caught:
            small.load()
    assert "--data FOLDER" in caught.value.hint
    assert_nothing_kept()


def test_no_server_at_all(download: Callable[[str], None], small: Small) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        download(f"http://127.0.0.1:{unused.getsockname()[1]}/")
        assert "could not be fetched: <urlopen error [Errno 111] Connection refused>" in small.problem()
    assert_nothing_kept()
