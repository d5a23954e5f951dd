"""Sources: what is in them, that their parts share nothing, and files that are not what they should be."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
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
from edgebig.data import source
from edgebig.data.source import Splits
from edgebig.errors import EdgebigError


def assert_disjoint(splits: Splits) -> None:
    parts = [splits.train, splits.validation, splits.test]
    for part in parts:
        assert part.images.dtype == np.uint8
        assert part.images.shape[1:] == (28, 28, 1)
        assert part.labels.dtype == np.int64
        assert set(part.labels.tolist()) == set(range(10))
    everything = np.concatenate([part.hashes for part in parts])
    assert len(np.unique(everything)) == len(everything)


def test_digits_5k() -> None:
    splits = source.load("digits-5k", validation=5000)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [3500, 500, 1000]
    for part, each in ((splits.train, 350), (splits.validation, 50), (splits.test, 100)):
        assert np.bincount(part.labels).tolist() == [each] * 10
    assert_disjoint(splits)
    assert splits.classes == tuple("0123456789")


@pytest.fixture(scope="session")
def mnist(shared: Path) -> Splits:
    return source.load("mnist", validation=5000, folder=shared / "data" / "mnist")


def test_mnist(mnist: Splits) -> None:
    assert [len(part) for part in (mnist.train, mnist.validation, mnist.test)] == [53_500, 5_000, 10_000]
    assert np.bincount(mnist.validation.labels).tolist() == [500] * 10
    assert_disjoint(mnist)
    # Ink is high: paper is black.
    assert np.median(mnist.train.images[:100]) == 0


def test_mnist_is_not_trained_on_what_the_embedded_digits_test(mnist: Splits) -> None:
    embedded = source.load("digits-5k", validation=0)
    held_out = np.concatenate([embedded.validation.hashes, embedded.test.hashes])
    assert not np.isin(mnist.train.hashes, held_out).any()
    assert not np.isin(mnist.validation.hashes, held_out).any()
    assert not np.isin(mnist.test.hashes, embedded.train.hashes).any()


def test_the_choice_of_mnist_s_validation_is_fixed(mnist: Splits) -> None:
    """By numpy's Generator, whose stream may change with a version: figures before and after could not be compared."""
    chosen = files.sha256_bytes(np.sort(mnist.validation.hashes).tobytes())
    assert chosen == "91a8b2416512565b8e74df2feabc8ec8cc4cb29fb8d41d0c1e371d3ad302cd8b"


def test_another_source() -> None:
    with pytest.raises(EdgebigError, match="no data source 'cifar'"):
        source.load("cifar", validation=10)


def test_a_hash_is_of_shape_and_pixels() -> None:
    images = np.zeros((2, 4, 9, 1), np.uint8)
    images[1, 0, 0] = 1
    labels = np.zeros(2, np.int64)
    hashes = source.Examples(images, labels).hashes
    assert hashes[0] != hashes[1]
    assert source.Examples(images[::-1], labels).hashes.tolist() == hashes[::-1].tolist()
    assert source.Examples(images.reshape(2, 6, 6, 1), labels).hashes[0] != hashes[0]


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    count=st.integers(0, 70),
    seed=st.integers(0, 2**32 - 1),
)
def test_per_class(labels: list[int], count: int, seed: int) -> None:
    array = np.array(labels, np.int64)
    chosen = source.per_class(array, count, seed=seed)
    assert chosen.dtype == np.bool_
    assert chosen.sum() == min(count, len(labels))
    assert np.array_equal(chosen, source.per_class(array, count, seed=seed))
    taken, there = np.bincount(array[chosen], minlength=6), np.bincount(array, minlength=6)
    # Every class alike up to one, unless all of it is taken.
    unfinished = taken[taken < there]
    if len(unfinished):
        assert taken.max() - unfinished.min() <= 1
    more = source.per_class(array, count + 1, seed=seed)
    assert not (chosen & ~more).any()  # a larger choice holds the smaller one


def test_per_class_shuffles() -> None:
    labels = np.zeros(100, np.int64)
    assert not np.array_equal(source.per_class(labels, 10, seed=0), source.per_class(labels, 10, seed=1))
    assert not source.per_class(labels, 10, seed=0)[:10].all()


# The parser of idx files


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("array", [IMAGES, IMAGES[0, 0], IMAGES[:1, :1, :1]], ids=["3d", "1d", "one"])
def test_idx(tmp_path: Path, array: np.ndarray, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "größe idx"
    path.write_bytes(pack(idx(array)))
    assert np.array_equal(source.read_idx(path), array)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not an idx file"),
        (b"\x00\x00\x08", "not an idx file"),
        (b"\x00\x00\x08\x00", "not an idx file"),
        (b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"x", "not an idx file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "not an idx file"),  # floats
        (b"\x00\x00\x08\x03\x00\x00", "not an idx file"),
        (idx(IMAGES)[:-1], "says 60 bytes, it has 59"),
        (idx(IMAGES) + b"x", "says 60 bytes, it has more"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "says 79,228,162,458,924,"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), "says 0 bytes"),
        (b"<html>not found</html>", "not an idx file"),
        (b"\x1f\x8b", "a broken gzip file"),
        (b"\x1f\x8b\x08" + b"x" * 40, "a broken gzip file"),
        (gzip.compress(idx(IMAGES))[:-9], "a broken gzip file"),
        (gzip.compress(idx(IMAGES)) + b"garbage", "a broken gzip file|not an idx file|has more"),
        (gzip.compress(gzip.compress(idx(IMAGES))), "not an idx file"),
    ],
    ids=range(16),
)
def test_what_is_no_idx_file(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(EdgebigError, match=problem) as caught:
        source.read_idx(path)
    assert str(path) in caught.value.problem
    assert caught.value.hint


def test_a_bomb_unpacks_within_bounds(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx(IMAGES))
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(EdgebigError, match="has more"):
        source.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@given(
    data=st.one_of(
        st.binary(max_size=80).map(lambda tail: b"\x00\x00\x08" + tail),
        st.tuples(st.integers(0, 75), st.integers(0, 255)).map(
            lambda change: idx(IMAGES)[: change[0]] + bytes([change[1]]) + idx(IMAGES)[change[0] + 1 :]
        ),
        st.integers(0, 75).map(lambda length: idx(IMAGES)[:length]),
        st.tuples(st.integers(0, 60), st.integers(0, 255)).map(
            lambda change: (
                (packed := gzip.compress(idx(IMAGES), mtime=0))[: change[0]]
                + bytes([change[1]])
                + packed[change[0] + 1 :]
            )
        ),
        st.integers(0, 80).map(lambda length: gzip.compress(idx(IMAGES), mtime=0)[:length]),
    )
)
def test_any_bytes_are_an_array_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz-idx"
    path.write_bytes(data)
    try:
        array = source.read_idx(path)
    except EdgebigError:
        return
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert array.dtype == np.uint8
    assert 4 + 4 * array.ndim + array.size == len(plain)
    assert array.tobytes() == plain[4 + 4 * array.ndim :]
    assert array.shape == struct.unpack_from(f">{array.ndim}I", plain, 4)


# Folders that hold MNIST, or do not


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """A source of 600 + 100 made-up pictures that passes for MNIST, by its hashes put in MNIST's place."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, n in (("train", 600), ("t10k", 100)):
        arrays[f"{part}-images"] = random.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{part}-labels"] = np.arange(n, dtype=np.uint8) % 10
    digests = {part: files.sha256_bytes(array.tobytes()) for part, array in arrays.items()}
    monkeypatch.setattr(source, "_MNIST_SHA256", digests)
    return arrays


def put_idx(folder: Path, arrays: dict[str, np.ndarray], *, packed: bool = True, dot: str = "-") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in arrays.items():
        name = f"{part}{dot}idx{array.ndim}-ubyte"
        data = idx(array)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, 1) if packed else data)


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(
        data, x_train=arrays["train-images"], y_train=arrays["train-labels"],
        x_test=arrays["t10k-images"], y_test=arrays["t10k-labels"],
    )  # fmt: skip
    return data.getvalue()


def load(folder: Path | None = None) -> Splits:
    return source.load("mnist", validation=100, folder=folder)


def problem_of(folder: Path | None = None) -> str:
    with pytest.raises(EdgebigError) as caught:
        load(folder)
    assert caught.value.hint
    return caught.value.problem


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_a_folder_of_idx_files(
    tmp_path: Path, small: dict[str, np.ndarray], packed: bool, dot: str, below: str
) -> None:
    put_idx(tmp_path / "größe here" / below, small, packed=packed, dot=dot)
    splits = load(tmp_path / "größe here")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (500, 100, 100)


def test_a_folder_with_an_npz(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    (tmp_path / "mnist.npz").write_bytes(npz(small))
    assert np.array_equal(load(tmp_path).test.labels, small["t10k-labels"])


def test_the_order_of_places(
    tmp_path: Path, small: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, users_state: Path
) -> None:
    """--data, then EDGEBIG_DATA, then the Keras cache, then the own cache: the first one decides, even if broken."""
    own, keras = lookup.cache_dir() / "mnist.npz", users_state / ".keras" / "datasets" / "mnist.npz"
    own.parent.mkdir(parents=True)
    own.write_bytes(npz(small))
    assert len(load().train) == 500
    keras.parent.mkdir(parents=True)
    keras.write_bytes(b"broken")
    assert problem_of().startswith(f"{keras}: not MNIST as Keras stores it")
    keras_home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    assert len(load().train) == 500
    environment = tmp_path / "environment"
    environment.mkdir()
    monkeypatch.setenv("EDGEBIG_DATA", str(environment))
    assert problem_of() == f"EDGEBIG_DATA {environment}: no MNIST there"
    put_idx(environment, small)
    assert len(load().train) == 500
    assert problem_of(tmp_path) == f"--data {tmp_path}: no MNIST there"


def test_validation_may_not_eat_up_train(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    put_idx(tmp_path, small)
    assert len(source.load("mnist", validation=300, folder=tmp_path).train) == 300
    with pytest.raises(EdgebigError, match="validation = 301: over half of the 600 training digits"):
        source.load("mnist", validation=301, folder=tmp_path)


def test_data_that_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "mnist.npz"
    file.write_bytes(b"")
    assert problem_of(file) == f"--data {file}: a file, not a folder"
    assert problem_of(tmp_path / "none") == f"--data {tmp_path / 'none'}: no such folder"


def test_one_of_the_four_is_missing(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    for part in small:
        folder = tmp_path / part
        put_idx(folder, small)
        (missing,) = folder.glob(f"{part}*")
        missing.unlink()
        assert problem_of(folder) == f"{missing}: no such file"


def test_labels_out_of_range(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    small["t10k-labels"][7] = 10
    put_idx(tmp_path, small)
    assert problem_of(tmp_path) == f"{tmp_path}: t10k has the label 10; digits are 0 to 9"


def test_fewer_labels_than_pictures(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    put_idx(tmp_path, {**small, "train-labels": small["train-labels"][:-1]})
    assert "train has pictures (600, 28, 28) and labels (599,)" in problem_of(tmp_path)


def test_labels_in_the_place_of_pictures(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    put_idx(tmp_path, small)
    shutil.copy(tmp_path / "train-labels-idx1-ubyte.gz", tmp_path / "train-images-idx3-ubyte.gz")
    assert "train has pictures (600,)" in problem_of(tmp_path)


def test_pictures_that_are_not_mnist_s(tmp_path: Path, small: dict[str, np.ndarray]) -> None:
    small["train-images"][3, 2, 1] ^= 1
    put_idx(tmp_path, small)
    assert problem_of(tmp_path) == f"{tmp_path}: train-images is well formed, but it is not MNIST's"


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
def test_a_broken_npz(tmp_path: Path, small: dict[str, np.ndarray], change: Callable[[bytes], bytes]) -> None:
    (tmp_path / "mnist.npz").write_bytes(change(npz(small)))
    problem = problem_of(tmp_path)
    assert problem.startswith(f"{tmp_path / 'mnist.npz'}: not MNIST as Keras stores it (")


def test_an_npz_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x=np.zeros(3))
    assert "not MNIST as Keras stores it" in problem_of(tmp_path)


@given(where=st.integers(0, 2**31), value=st.integers(0, 255))
def test_a_changed_byte_of_an_npz(tmp_path_factory: pytest.TempPathFactory, where: int, value: int) -> None:
    """In the zip's directory or a header, mostly: MNIST's own pixels are behind their own hashes."""
    data = bytearray(TINY_NPZ)
    data[where % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    path.write_bytes(data)
    with pytest.raises(EdgebigError):
        source._from_npz(path)


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
        yield f"http://127.0.0.1:{server.server_address[1]}/mnist.npz"
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
def download(small: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """Points the download at a url, with the hash of the right bytes, which it returns."""
    data = npz(small)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(source, "_MNIST_NPZ_SHA256", files.sha256_bytes(data))
    monkeypatch.setattr(source, "_STALLED_S", 0.2)

    def point(url: str) -> bytes:
        monkeypatch.setattr(source, "_MNIST_NPZ", url)
        return data

    return point


def assert_nothing_kept() -> None:
    assert not lookup.cache_dir().is_dir() or list(lookup.cache_dir().iterdir()) == []


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_download_is_kept(
    download: Callable[[str], bytes], capsys: pytest.CaptureFixture[str], tells_length: bool
) -> None:
    data = download("")
    with serving(lambda request: send(request, data, len(data) if tells_length else None)) as url:
        download(url)
        assert len(load().train) == 500
    assert capsys.readouterr().err == f"MNIST is not here; fetching it from {url}\n"
    assert (lookup.cache_dir() / "mnist.npz").read_bytes() == data
    assert [path.name for path in lookup.cache_dir().iterdir()] == ["mnist.npz"]
    assert len(load().train) == 500  # the server is gone


def test_other_bytes_are_not_kept(download: Callable[[str], bytes]) -> None:
    with serving(lambda request: send(request, b"<html>Please log in</html>")) as url:
        download(url)
        assert problem_of() == f"what came from {url} is not MNIST (sha256 differs)"
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
    download: Callable[[str], bytes],
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[BaseHTTPRequestHandler], None],
    problem: str,
) -> None:
    if answer is drip:
        monkeypatch.setattr(source, "_DOWNLOAD_DEADLINE_S", 0.1)
    if "over" in problem:
        monkeypatch.setattr(source, "_LIMIT_BYTES", 4000)
    with serving(answer) as url:
        download(url)
        with pytest.raises(EdgebigError, match=f"could not be fetched: .*({problem})") as caught:
            load()
    assert "--data FOLDER" in caught.value.hint
    assert_nothing_kept()


def test_no_server_at_all(download: Callable[[str], bytes]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        download(f"http://127.0.0.1:{unused.getsockname()[1]}/")
        assert "could not be fetched: <urlopen error [Errno 111] Connection refused>" in problem_of()
    assert_nothing_kept()


def test_the_limit_holds_mnist() -> None:
    assert math.prod((60_000, 28, 28)) < source._LIMIT_BYTES
