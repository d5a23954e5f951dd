"""Picture files -> one mapped file of pixels in the cache, each decoded once, by the code that devices run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import PIL
from PIL import Image

from edgebig.data import mapped
from edgebig.data.listing import Listing, printable, some
from edgebig.data.mapped import Broken, Mapped, Writer
from edgebig.errors import EdgebigError
from edgebig.ondevice import whole
from edgebig.ondevice.faults import Fault
from edgebig.ondevice.picture import opened
from edgebig.progress import say, track
from edgebig.recipe import Data

# Counted up when the same files and settings give other pixels, or another file.
_VERSION = 1
# Larger pictures are decoded one at a time: each takes up to 12 bytes a pixel.
_LARGE_PIXELS = 32_000_000
# Pillow takes these for TIFF, and the small preview in them for the picture.
_CAMERA_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raw", ".rw2")
_SIDE_LIMIT_PX = 4096
_SHOWN_SIZES = 5
_SUGGESTED_SIDE_PX = 128


def decode(listing: Listing, data: Data) -> Mapped:
    """The pictures of `listing` in its order, at `data`'s size, colour and fit: out of the cache, or decoded into it.

    Without a colour they are grey if red, green and blue are equal in every pixel of every picture, else rgb.
    A file that cannot be read is in `broken`. Raises EdgebigError where `data` leaves the size open and they have
    several, or the cache has no space.
    """
    path = mapped.path_of(_digest(listing, data))
    known = mapped.read(path)
    # Permissions may have changed since, and no time of a file tells.
    if known and not any(why.code == "no-access" for why in known.broken.values()):
        return known
    size = data.size or _common_size(listing)
    shape = len(listing.names), *size, 1 if data.colour == "grey" else 3
    say(
        f"{listing.source}: decoding {shape[0]:,} pictures to {size[0]} x {size[1]}, once, into {path.parent}"
    )
    with mapped.writing(path, shape) as writer:
        coloured = threading.Event()

        def put(index: int) -> None:
            _put(listing, index, data, writer, coloured)

        _in_threads("decode pictures", len(listing.names), put)
        if data.colour is None and not coloured.is_set():
            writer.to_grey()
        return writer.finish()


def _digest(listing: Listing, data: Data) -> str:
    """What the pixels come from: the files, by names, sizes and times, and what is made of them."""
    settings = (_VERSION, PIL.__version__, data.size, data.colour, data.fit)
    sha256 = hashlib.sha256(
        repr((settings, os.path.realpath(listing.folder))).encode(errors="surrogateescape")
    )
    for name in listing.names:
        try:
            facts = os.stat(os.path.join(listing.folder, name))
            # The second time changes with what sets the first one back, as copying and unpacking do.
            state = facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
        except (OSError, ValueError):  # it will be told when it is opened
            state = 0, 0, 0
        sha256.update(repr((name, state)).encode(errors="surrogateescape"))
    return sha256.hexdigest()[:32]


_one_at_a_time = threading.Lock()


def _put(listing: Listing, index: int, data: Data, writer: Writer, coloured: threading.Event) -> None:
    """Decodes a picture and writes it, or why not."""
    path = os.fspath(listing.folder / listing.names[index])
    _, height, width, _ = writer.shape
    try:
        with _opened(path) as picture:
            is_large = picture.width * picture.height > _LARGE_PIXELS
            with _one_at_a_time if is_large else contextlib.nullcontext():
                plain = whole.plain_of(path, picture, data.size)
                if data.colour is None and not coloured.is_set() and not whole.is_grey(plain):
                    coloured.set()
    except Fault as fault:
        problem = fault.problem.removeprefix(path).removeprefix(repr(path)).strip()
        writer.leave_out(index, Broken(fault.code, printable(f"{problem} ({fault.hint})")))
        return
    if data.size is None and plain.size != (width, height):
        turned = f"is {plain.height} x {plain.width} when turned as its EXIF says, and not {height} x {width}"
        writer.leave_out(index, Broken("size", turned))
        return
    writer.put(index, whole.fitted(plain, writer.shape[1:], data.fit))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    ending = os.path.splitext(path)[1].lower()
    if ending in _CAMERA_RAW:
        raise Fault(
            "no-picture", f"{path} is a camera's raw file ({ending}), which is not read", "save it as PNG"
        )
    with opened(path) as picture:
        yield picture


def _common_size(listing: Listing) -> tuple[int, int]:
    """The one height and width of all pictures, by their headers. Raises EdgebigError."""
    sizes: list[tuple[int, int] | None] = [None] * len(listing.names)

    def look(index: int) -> None:
        with contextlib.suppress(Fault), _opened(os.fspath(listing.folder / listing.names[index])) as picture:
            sizes[index] = whole.upright_size(picture)

    _in_threads("look at pictures", len(listing.names), look)
    counts = Counter(size for size in sizes if size is not None).most_common()
    if not counts:
        return 1, 1  # none can be read, as decoding will tell
    (height, width), _ = counts[0]
    if len(counts) == 1 and max(height, width) <= _SIDE_LIMIT_PX:
        return height, width
    shrink = max(1.0, max(height, width) / _SUGGESTED_SIDE_PX)
    shown = some([f"{count:,} of {high} x {wide}" for (high, wide), count in counts], _SHOWN_SIZES)
    kinds = f"{len(counts):,} sizes" if len(counts) > 1 else "one size, which is very large"
    raise EdgebigError(
        f"{listing.source}: the pictures have {kinds} (height x width): {shown}",
        f"bring them to one, as in [data] size = [{max(1, round(height / shrink))}, {max(1, round(width / shrink))}]",
    )


def _in_threads(what: str, count: int, work: Callable[[int], None]) -> None:
    """`work` of each index below `count`. The first error ends it, and so does Ctrl-C."""
    threads = min(os.cpu_count() or 1, count)
    ahead = iter(range(count))
    is_over = threading.Event()
    with (
        track(what, count) as advance,
        warnings.catch_warnings(),  # which is no matter of a thread: all share it
        ThreadPoolExecutor(threads) as pool,
    ):
        warnings.simplefilter("ignore")  # Pillow warns of odd headers

        def run() -> None:
            try:
                for index in ahead:
                    work(index)
                    advance()
                    if is_over.is_set():
                        return
            finally:
                is_over.set()

        runs = [pool.submit(run) for _ in range(threads)]
        try:
            for each in runs:
                each.result()
        finally:
            is_over.set()
