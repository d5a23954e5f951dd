"""A picture file -> upright grey -> the digits in it, each as MNIST was made. numpy and Pillow only.

The laptop, the Pi and the camera run this same code. The steps of `find_digits`, in order:
shrink -> polarity -> paper (what is left when strokes are closed) -> ink (the part of its light that is taken)
-> threshold -> connected strokes -> digits -> lines -> strokes evened, 20x20 box, centred by mass in 28x28.
"""

from __future__ import annotations

import os
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .faults import Fault

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Bits = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.floating[Any]]
    Box = tuple[int, int, int, int]  # x0, y0, x1, y1, ends excluded

MAX_PIXELS = 64_000_000  # a decoded picture takes up to 4 bytes a pixel, and a Raspberry Pi has 1 GB
# No EPS, PDF or WMF: Pillow hands those to another program.
FORMATS = ("PNG", "JPEG", "MPO", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")


# ---------------------------------------------------------------- file -> grey


def read_picture(path: str | os.PathLike[str]) -> Bytes:
    """A picture file -> grey uint8 (H, W), upright as EXIF says, on white, of an animation the first frame.

    Raises: Fault; code no-file, not-a-file, no-access, no-picture, broken-picture, too-large or pixel-format.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise Fault("not-a-file", f"{name} is a folder", "name a picture file in it")
        # Opening a named pipe waits for its writer, and opening a device may act on it.
        if not stat.S_ISREG(mode):
            raise Fault("not-a-file", f"{name} is no regular file", "name a picture file")
        stream = open(name, "rb")  # noqa: SIM115 - closed below; here only its own errors are told
    except PermissionError:
        raise Fault("no-access", f"{name} may not be read", "check its permissions") from None
    except (OSError, ValueError):  # ValueError: a null character in the name
        raise Fault("no-file", f"{name!r} is not there", "check the name of the picture") from None
    with stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(name, stream) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise _too_large(name, f"{width} x {height} pixels")
            try:
                picture.load()
                return _upright(_grey(name, picture), _orientation(picture))
            except _DECODE_ERRORS as e:
                problem = f"{name} is cut short or damaged: {e}"
                raise Fault("broken-picture", problem, "make or copy the picture again") from None
            except Image.DecompressionBombError:
                raise _too_large(name, "too many pixels") from None


# What Pillow's decoders raise on damaged data.
_DECODE_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError),
    *(struct.error, zlib.error),
)


def _too_large(name: str, what: str) -> Fault:
    limit = f"{MAX_PIXELS // 1_000_000} megapixels are the limit"
    return Fault("too-large", f"{name} claims {what}; {limit}", "scale the picture down")


def _opened(name: str, stream: IO[bytes]) -> Image.Image:
    for load_plugins in (Image.preinit, Image.init):  # the second is slower, and needed for rare formats only
        load_plugins()
        try:
            return Image.open(stream, formats=[f for f in FORMATS if f in Image.OPEN])
        except Image.DecompressionBombError:
            raise _too_large(name, "too many pixels") from None
        except _DECODE_ERRORS:  # UnidentifiedImageError is an OSError
            stream.seek(0)
    hint = "use PNG, JPEG, BMP, GIF, WebP or TIFF"
    raise Fault("no-picture", f"{name} is no picture that can be read", hint)


def _grey(name: str, picture: Image.Image) -> Bytes:
    mode = picture.mode
    if mode.startswith("I"):  # 16 bits; Pillow opens some of them as 32-bit integers
        wide = np.asarray(picture).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise Fault("pixel-format", f"{name} has 32 bits a pixel", "save it with 8 or 16 bits")
        narrow: Bytes = ((wide * 255 + 32767) // 65535).astype(np.uint8)
        return narrow
    if mode == "F":
        raise Fault("pixel-format", f"{name} has floating point pixels", "save it with 8 or 16 bits")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        if mode in ("La", "RGBa"):
            picture = picture.convert("RGBA" if mode == "RGBa" else "LA")
        pixels = np.asarray(picture.convert("RGBA").convert("LA"))
        grey, alpha = pixels[..., 0].astype(np.uint16), pixels[..., 1].astype(np.uint16)
        on_white: Bytes = ((grey * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        return on_white
    if mode == "LAB":
        return np.array(picture.getchannel(0))
    if mode not in ("1", "L", "RGB", "P"):
        picture = picture.convert("RGB")
    return np.array(picture.convert("L"))


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(0x0112, 1))
    except _DECODE_ERRORS:  # a broken EXIF block says nothing of the pixels
        return 1


def _upright(grey_u8: Bytes, orientation: int) -> Bytes:
    """EXIF 2.32, tag 274: 5 to 8 have rows and columns exchanged; then mirrored in x, in y, or both."""
    if orientation in (5, 6, 7, 8):
        grey_u8 = grey_u8.T
    if orientation in (3, 4, 7, 8):
        grey_u8 = grey_u8[::-1]
    if orientation in (2, 3, 6, 7):
        grey_u8 = grey_u8[:, ::-1]
    return np.ascontiguousarray(grey_u8)


# -------------------------------------------------------------- grey -> digits

BILINEAR = 2  # Image.Resampling.BILINEAR, and Image.BILINEAR before Pillow 9.1
WORK_SIDE = 1280  # digits are sought in a picture that is at most this long, in pixels
PAPER_SIDE = 400  # and the paper behind them at most this one
MAX_PARTS = 300  # in one picture; the largest count
DARK = np.float32(80)  # on paper darker than this, ink is held against this: there noise is a large part
MIN_INK = 0.13  # a stroke takes at least this part of the paper's light
STROKE = 2.3  # the stroke width to reach, in pixels of the 20x20 box; MNIST's median is 2.4
MAX_STROKE = 4.0
FINE = 4  # a digit is drawn this much larger than the 20x20 box while its strokes are evened


@dataclass(frozen=True, eq=False)
class Digit:
    """`box`: x, y, width, height in pixels of the upright picture; `image_u8`: uint8 (28, 28), ink is 255."""

    box: tuple[int, int, int, int]
    image_u8: Bytes


def find_digits(grey_u8: Bytes) -> list[Digit]:
    """uint8 (H, W), an upright picture -> its digits, line by line from the top, each line from the left.

    Dark ink on light paper or light on dark. A picture that is already as MNIST's comes out as it is. No ink: [].
    Raises: TypeError if grey_u8 is not uint8 (H, W) with at least one pixel.
    """
    if grey_u8.dtype != np.uint8 or grey_u8.ndim != 2 or not grey_u8.size:
        raise TypeError(f"uint8 (H, W) is needed, this is {grey_u8.dtype} {grey_u8.shape}")
    as_mnist = _as_mnist(grey_u8)
    if as_mnist is not None:
        return [as_mnist]
    shrink = -(-max(grey_u8.shape) // WORK_SIDE)
    work = _reduce(grey_u8, shrink)
    inverted = _is_light_on_dark(work)
    for inverse in (inverted, not inverted):
        scene = _scene(~work if inverse else work)
        parts = _strokes(scene)
        if len(parts.box):
            digits = _in_lines(_join(parts))
            full = ~grey_u8 if inverse else grey_u8
            return [_digit(full, shrink, scene, parts, members) for members in digits]
    return []


def _as_mnist(grey_u8: Bytes) -> Digit | None:
    """A picture that was made as MNIST's: 28x28, ink 20 pixels long, its centre of mass in the middle."""
    if grey_u8.shape != (28, 28):
        return None
    image = ~grey_u8 if np.median(grey_u8) > 127 else grey_u8
    ys, xs = np.nonzero(image > 48)
    if np.median(image) > 8 or image.max() < 192 or not len(ys):
        return None
    x, y, w, h = int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1
    weight = image.astype(np.float64)
    centre = (weight.sum(0) @ np.arange(28), weight.sum(1) @ np.arange(28)) / weight.sum()
    if not 18 <= max(w, h) <= 21 or np.abs(centre - 14).max() > 1.5:
        return None
    return Digit((x, y, w, h), image.copy())


def _is_light_on_dark(work: Bytes) -> bool:
    """Strokes are thin, so against the mean around them they stand out far, and few; their surroundings little.

    The skewness of the differences tells which way; the edge of a shadow stands out both ways alike. Taken over
    windows of three sizes, since strokes are of any width.
    """
    small = _reduce(work, -(-max(work.shape) // PAPER_SIDE)).astype(np.float32)
    total = 0.0
    for windows in (16, 5, 2):
        around = _mean_around(small, max(1, min(small.shape) // windows // 2))
        apart = small - around
        spread = float((apart * apart).mean(dtype=np.float64)) + 1
        total += float((apart * apart * apart).mean(dtype=np.float64)) / spread**1.5
    return total > 0


def _mean_around(a: Floats, reach: int) -> Floats:
    """The mean of the square that reaches so far to every side, as far as it lies in the picture."""
    for axis in (0, 1):
        n = a.shape[axis]
        first, last = np.maximum(np.arange(n) - reach, 0), np.minimum(np.arange(n) + reach + 1, n)
        total = np.insert(np.cumsum(a, axis, dtype=np.float64), 0, 0, axis)
        count = (last - first).reshape((-1, 1) if axis == 0 else (1, -1))
        a = (total.take(last, axis) - total.take(first, axis)) / count
    return a


@dataclass(frozen=True)
class _Scene:
    """Of a picture with dark ink: `paper`, its light without ink, 0 to 255; `ink`, the part taken, 0 to 1."""

    paper: Floats
    ink: Floats
    noise: float


def _scene(work: Bytes) -> _Scene:
    """Paper is what is left when all that is narrower than a stroke is closed.

    The first look takes strokes to be as wide as they can be, and finds how wide they are; the second then follows
    the edges of shadows and the grain of the paper more closely.
    """
    shrink = -(-max(work.shape) // PAPER_SIDE)
    small = _reduce(work, shrink)
    reach = max(3, round(0.35 * min(small.shape)))
    for _ in range(2):
        first = _against(_closed(small, reach), small)
        parts, strength = _components(first.ink, first.ink > _threshold(first))
        keep = _plausible(parts, small.shape)
        if not keep.any():  # what is there is too thin to be seen so small
            reach = min(reach, 9)
            break
        width = _weighted_median((2 * parts.area / parts.edge)[keep], (strength * parts.edge)[keep])
        reach = min(reach, max(5, round(4 * width) + 3))
    height, width_ = work.shape
    paper = Image.fromarray(_closed(small, reach))
    whole = paper.resize((paper.width * shrink, paper.height * shrink), BILINEAR)
    return _against(np.asarray(whole)[:height, :width_], _soften(work))


def _closed(small: Bytes, reach: int) -> Bytes:
    for largest in (True, False):
        small = _slide(_slide(small, reach, 0, largest), reach, 1, largest)
    return small


def _against(paper: Bytes, picture: npt.NDArray[Any]) -> _Scene:
    ink = (paper - picture.astype(np.float32)) / np.maximum(paper, DARK)
    sample = ink[::3, ::3] if ink.size > 9000 else ink
    offset = np.median(sample)  # of many grey values the closing takes the lightest
    noise = 1.4826 * float(np.median(np.abs(sample - offset)))
    return _Scene(paper * np.float32(1 - offset), np.maximum(ink - offset, 0), noise)


def _threshold(scene: _Scene) -> float:
    return max(MIN_INK * 0.6, 4 * scene.noise)


def _slide(a: Bytes, reach: int, axis: int, largest: bool) -> Bytes:
    """The largest (smallest) of the `reach` values around each, along one axis; nothing outside counts."""
    pick, outside = (np.maximum, 0) if largest else (np.minimum, 255)
    before = reach // 2 if largest else (reach - 1) // 2
    pad = [(0, 0), (0, 0)]
    pad[axis] = (before, reach - 1 - before)
    a = np.moveaxis(np.pad(a, pad, constant_values=outside), axis, 0)
    width = 1
    while width < reach:  # windows of 1, 2, 4, ... and the last overlaps
        step = min(width, reach - width)
        a = pick(a[:-step], a[step:])
        width += step
    return np.moveaxis(a, 0, axis)


def _soften(work: Bytes) -> Floats:
    """A 3x3 binomial mean, where the picture is large enough to spare it."""
    a = work.astype(np.float32)
    if min(work.shape) < 100:
        return a
    p = np.pad(a, 1, mode="edge")
    a = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return (a[:-2] + 2 * a[1:-1] + a[2:]) / 16


@dataclass(frozen=True)
class _Parts:
    """Connected strokes; areas and edges in pixels; `label`: int (H, W), -1 or the part's number."""

    box: Ints  # (N, 4) as x0, y0, x1, y1, ends excluded
    area: Ints
    edge: Ints
    label: npt.NDArray[np.int32]


def _strokes(scene: _Scene) -> _Parts:
    """Ink that is strong enough, in connected parts, without specks, page edges and rules."""
    ink = scene.ink
    weak = _threshold(scene)
    parts, strength = _components(ink, ink > weak)
    keep = _plausible(parts, ink.shape) & (strength > max(MIN_INK, 6 * scene.noise))
    if not keep.any():
        return _select(parts, keep)
    level = _weighted_median(strength[keep], parts.area[keep])
    parts, strength = _components(ink, ink > max(weak, 0.4 * level))
    keep = _plausible(parts, ink.shape) & (strength > 0.5 * level)
    return _select(parts, keep)


def _select(parts: _Parts, keep: Bits) -> _Parts:
    new = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)  # [-1] stays -1
    return _Parts(parts.box[keep], parts.area[keep], parts.edge[keep], new[parts.label])


def _plausible(parts: _Parts, shape: tuple[int, ...]) -> Bits:
    height, width = shape
    x0, y0, x1, y1 = parts.box.T
    w, h = x1 - x0, y1 - y0
    side = np.maximum(w, h)
    inside = (x0 > 0) & (y0 > 0) & (x1 < width) & (y1 < height)
    large = side >= max(5, 0.015 * max(shape))
    solid = (parts.area > 0.8 * w * h) & (w > 0.5 * h)
    keep: Bits = large & ~solid
    whole: Bits = keep & inside
    if not whole.any():  # cropped close
        whole = keep & (w < 0.98 * width) & (h < 0.98 * height)
    return whole


def _weighted_median(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _components(ink: Floats, mask: Bits) -> tuple[_Parts, npt.NDArray[np.float64]]:
    """8-connected parts of the mask, and each part's ink (the mean, weighted by itself)."""
    height, width = mask.shape
    stride = width + 1
    flat = np.zeros(height * stride + 1, np.int8)
    flat[1:].reshape(height, stride)[:, :width] = mask
    change = np.diff(flat)
    start, end = np.nonzero(change == 1)[0], np.nonzero(change == -1)[0]  # runs: no row ends in ink
    root = _union(start, end, stride)
    part, of_run = np.unique(root, return_inverse=True)
    n, row = len(part), start // stride
    box = np.zeros((n, 4), np.int64)
    box[:, :2] = max(height, width)
    np.minimum.at(box[:, 0], of_run, start - row * stride)
    np.minimum.at(box[:, 1], of_run, row)
    np.maximum.at(box[:, 2], of_run, end - row * stride)
    np.maximum.at(box[:, 3], of_run, row + 1)
    of_pixel = np.repeat(of_run, end - start)
    label = np.full(mask.shape, -1, np.int32)
    label[mask] = of_pixel
    value = ink[mask].astype(np.float64)
    area = np.bincount(of_pixel, minlength=n)
    strength = np.bincount(of_pixel, value**2, n) / np.maximum(np.bincount(of_pixel, value, n), 1e-9)
    return _Parts(box, area, _edges(label, n), label), strength


def _edges(label: npt.NDArray[np.int32], n: int) -> Ints:
    """The length of each part's edge: how often rows and columns enter or leave it, times pi / 4 as edges slant."""
    count = np.zeros(n + 1, np.int64)
    for a in (label, label.T):
        p = np.pad(a, ((0, 0), (1, 1)), constant_values=-1)
        ends = p[:, :-1] != p[:, 1:]
        for side in (p[:, :-1], p[:, 1:]):
            count += np.bincount(side[ends] + 1, minlength=n + 1)
    edge: Ints = np.maximum(count[1:] * np.pi / 4, 1).astype(np.int64)
    return edge


def _union(start: Ints, end: Ints, stride: int) -> Ints:
    """Runs in row order -> each one's smallest connected run: roots hook to smaller ones until none changes."""
    first = np.searchsorted(end, start - stride)  # runs above that end at this start or later: 8-connected
    last = np.searchsorted(start, end - stride, side="right")
    count = last - first
    below = np.repeat(np.arange(len(start)), count)
    above = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    root = np.arange(len(start))
    while True:
        a, b = root[above], root[below]
        apart = a != b
        if not apart.any():
            return root
        above, below = above[apart], below[apart]
        np.minimum.at(root, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while True:
            jumped = root[root]
            if (jumped == root).all():
                break
            root = jumped


# ------------------------------------------------------------ strokes -> lines


@dataclass(frozen=True)
class _Group:
    """Strokes of one digit."""

    box: Box
    members: tuple[int, ...]


def _join(parts: _Parts) -> list[_Group]:
    """Broken strokes belong to the digit that they overlap or nearly touch; other fragments are specks."""
    height = parts.box[:, 3] - parts.box[:, 1]
    tall = _weighted_median(height, height)
    largest = np.argsort(-parts.area, kind="stable")[:MAX_PARTS]
    groups = [_Group(_four(parts.box[i]), (int(i),)) for i in largest]
    edges = {int(i): _edge(parts, int(i)) for i in largest}
    merged = True
    while merged:
        merged = False
        for i in range(len(groups)):
            for j in range(len(groups) - 1, i, -1):
                if _one_digit(groups[i], groups[j], tall, edges):
                    groups[i] = _together(groups[i], groups.pop(j))
                    merged = True
    return [g for g in groups if _digit_shaped(g.box, tall)]


def _four(box: Ints) -> Box:
    x0, y0, x1, y1 = (int(v) for v in box)
    return x0, y0, x1, y1


def _edge(parts: _Parts, part: int) -> Ints:
    """The outermost pixels of a part, (N, 2) as y, x: at most 400, to measure gaps by."""
    x0, y0, x1, y1 = parts.box[part]
    own = np.pad(parts.label[y0:y1, x0:x1] == part, 1)
    inner = own[:-2, 1:-1] & own[2:, 1:-1] & own[1:-1, :-2] & own[1:-1, 2:]
    ys, xs = np.nonzero(own[1:-1, 1:-1] & ~inner)
    points = np.stack([ys + y0, xs + x0], 1)
    return points[:: -(-len(points) // 400)]


def _together(a: _Group, b: _Group) -> _Group:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    return _Group((min(ax0, bx0), min(ay0, by0), max(ax1, bx1), max(ay1, by1)), a.members + b.members)


def _one_digit(a: _Group, b: _Group, tall: float, edges: dict[int, Ints]) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    in_x, in_y = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    narrow, low = min(ax1 - ax0, bx1 - bx0), min(ay1 - ay0, by1 - by0)
    if max(-in_x, -in_y) > 0.15 * tall:
        return False
    if in_x > 0.6 * narrow and in_y > 0.6 * low:
        return True
    width, height = max(ax1, bx1) - min(ax0, bx0), max(ay1, by1) - min(ay0, by0)
    if height > 1.8 * tall or width > 1.2 * height:
        return False
    if low < 0.4 * tall and in_x > 0.5 * narrow:
        return True
    small = min(max(ax1 - ax0, ay1 - ay0), max(bx1 - bx0, by1 - by0)) < 0.5 * tall
    return _gap(a, b, edges) < (0.1 if small else 0.05) * tall


def _gap(a: _Group, b: _Group, edges: dict[int, Ints]) -> float:
    p, q = (np.concatenate([edges[m] for m in g.members]) for g in (a, b))
    return float(np.sqrt(((p[:, None] - q[None]) ** 2).sum(2).min()))


def _digit_shaped(box: Box, tall: float) -> bool:
    w, h = box[2] - box[0], box[3] - box[1]
    return max(w, h) > 0.4 * tall and h < 2.5 * tall and w < 2.6 * h


def _in_lines(groups: list[_Group]) -> list[_Group]:
    """Reading order. The slope of the lines, the median of that between neighbours, is taken out first."""
    slopes = []
    for a in groups:
        near = [b for b in groups if b.box[0] > a.box[0] and _shared(a.box, b.box, 0.0) > 0.2]
        if near:
            b = min(near, key=lambda b: b.box[0])
            dx = (b.box[0] + b.box[2] - a.box[0] - a.box[2]) / 2
            if dx > 0:
                slopes.append((b.box[1] + b.box[3] - a.box[1] - a.box[3]) / 2 / dx)
    slope = float(np.clip(np.median(slopes), -0.3, 0.3)) if len(slopes) > 2 else 0.0
    lines: list[list[_Group]] = []
    for g in sorted(groups, key=lambda g: (g.box[1] + g.box[3] - slope * (g.box[0] + g.box[2]), g.box)):
        fit = [max(_shared(g.box, o.box, slope) for o in line) for line in lines]
        if fit and max(fit) > 0.3:
            lines[fit.index(max(fit))].append(g)
        else:
            lines.append([g])
    return [g for line in lines for g in sorted(line, key=lambda g: (g.box[0] + g.box[2], g.box))]


def _shared(a: Box, b: Box, slope: float) -> float:
    """The part of the lower box's height that both share, once b is moved along the line to a."""
    drop = slope * (b[0] + b[2] - a[0] - a[2]) / 2
    return (min(a[3], b[3] - drop) - max(a[1], b[1] - drop)) / min(a[3] - a[1], b[3] - b[1])


# ----------------------------------------------------------- strokes -> 28x28


def _digit(full: Bytes, shrink: int, scene: _Scene, parts: _Parts, group: _Group) -> Digit:
    """`full`: the whole picture with dark ink; the rest is of the working picture, `shrink` times smaller."""
    margin = 2
    height, width = scene.ink.shape
    x0, y0 = max(group.box[0] - margin, 0), max(group.box[1] - margin, 0)
    x1, y1 = min(group.box[2] + margin, width), min(group.box[3] + margin, height)
    own = np.isin(parts.label[y0:y1, x0:x1], group.members)
    near = _slide(_slide(own.astype(np.uint8), 3, 0, True), 3, 1, True)
    scale = 20 * FINE / max(group.box[2] - group.box[0], group.box[3] - group.box[1])
    size = max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))
    crop = full[y0 * shrink : y1 * shrink, x0 * shrink : x1 * shrink]
    grey = _resample(crop, size)
    paper = _resample(scene.paper[y0:y1, x0:x1], size)
    ink = np.clip((paper - grey) / np.maximum(paper, DARK), 0, 1) * (
        _resample(near.astype(np.float32), size) > 0.5
    )
    core = ink[_resample(own.astype(np.float32), size) > 0.5]
    level = float(np.quantile(core, 0.8)) if core.size else 1.0
    bold = np.clip((ink / max(level, 1e-3) - 0.5) * 2 + 0.5, 0, 1)
    x, y = group.box[0] * shrink, group.box[1] * shrink
    right, bottom = min(group.box[2] * shrink, full.shape[1]), min(group.box[3] * shrink, full.shape[0])
    return Digit((x, y, right - x, bottom - y), _centred(_even(bold)))


def _even(bold: Floats) -> Floats:
    """Strokes of the fine drawing brought near MNIST's width, by a round brush that adds or takes an edge."""
    width = stroke_width(bold)
    wish = float(np.clip(width, STROKE * FINE, MAX_STROKE * FINE))
    side = 20 * FINE
    # The box grows with the brush, and is scaled to 20 again.
    radius = (wish - width) * side / (2 * (side - wish))
    reach = int(abs(radius) + 0.5)
    padded = np.pad(bold, reach)
    result = padded.copy()
    pick = np.maximum if radius > 0 else np.minimum
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if 0 < dx * dx + dy * dy <= (abs(radius) + 0.25) ** 2:
                pick(result, np.roll(padded, (dy, dx), (0, 1)), out=result)
    return result


def stroke_width(bold: Floats) -> float:
    """(H, W) of 0 to 1 -> the mean stroke width in pixels: a stroke's total variation is twice its length."""
    p = np.pad(bold, 1).astype(np.float64)
    edge = float(np.hypot(np.diff(p, axis=0)[:, :-1], np.diff(p, axis=1)[:-1]).sum())
    return 2 * float(bold.sum()) / edge if edge else 0.0


def _centred(bold: Floats) -> Bytes:
    """As MNIST was made: the longer side is 20, anti-aliased, and the centre of mass is at pixel 14, 14."""
    ys, xs = np.nonzero(bold > 0.5)
    image = np.zeros((28, 28), np.uint8)
    if not len(ys):
        return image
    tight = bold[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    h, w = tight.shape
    size = max(1, round(20 * h / max(h, w))), max(1, round(20 * w / max(h, w)))
    small = _resample(tight, size)
    mass = max(float(small.sum()), 1e-9)
    top = round(14 - float(small.sum(1) @ np.arange(size[0])) / mass)
    left = round(14 - float(small.sum(0) @ np.arange(size[1])) / mass)
    top, left = min(max(top, 0), 28 - size[0]), min(max(left, 0), 28 - size[1])
    image[top : top + size[0], left : left + size[1]] = np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)
    return image


# ------------------------------------------------------------------- sampling


def _reduce(a: Bytes, factor: int) -> Bytes:
    """Means of factor x factor blocks; those at the right and bottom edge may be smaller."""
    return a if factor <= 1 else np.array(Image.fromarray(np.ascontiguousarray(a)).reduce(factor))


def _resample(a: npt.NDArray[Any], size: tuple[int, int]) -> Floats:
    """(H, W) -> floats of `size`: means over areas where it shrinks, linear where it grows."""
    factor = min(a.shape[0] // size[0], a.shape[1] // size[1])
    if factor > 2 and a.dtype == np.uint8:
        a = _reduce(a, factor // 2)
    rows, columns = _weights(a.shape[0], size[0]), _weights(a.shape[1], size[1])
    result: Floats = rows @ a.astype(np.float32) @ columns.T
    return result


def _weights(n: int, m: int) -> Floats:
    """float32 (m, n), rows sum to 1: a box as wide as a target pixel, or a triangle where m is larger."""
    middle = (np.arange(m)[:, None] + 0.5) * n / m
    if m > n:
        reach = np.clip(middle, 0.5, n - 0.5) - (np.arange(n) + 0.5)
        weight = np.maximum(1 - np.abs(reach), 0)
    else:
        half = n / m / 2
        weight = np.minimum(middle + half, np.arange(n) + 1) - np.maximum(middle - half, np.arange(n))
        weight = np.maximum(weight, 0)
    share: Floats = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return share
