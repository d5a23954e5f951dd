"""Augmentations held against numpy, and against what each promises of its draws.

A picture whose channels are its own x and y comes out of a warp as the map itself: bilinear interpolation of a ramp is
exact. So the map of each draw is read off, without looking at how it was drawn. Pictures are no squares, so that rows
and columns cannot be taken for each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.errors import EdgebigError
from edgebig.recipe import Augment

pytestmark = pytest.mark.tf

Floats = npt.NDArray[np.float32]
HEIGHT, WIDTH = 30, 40
OFF = Augment()
AFFINE = {"shift_px": 2.0, "rotate_deg": 12.0, "zoom": 0.13, "shear": 0.15}
# Farther than this no corner goes, so that the middle is always filled.
MIDDLE = slice(11, 19), slice(16, 24)
EACH = {
    "flip": Augment(flip=True),
    "affine": Augment(**AFFINE),
    "elastic": Augment(elastic_px=1.0),
    "stroke": Augment(stroke_px=1.5),
    "blur": Augment(blur_px=1.5),
    "brightness": Augment(brightness=0.3),
    "contrast": Augment(contrast=0.3),
    "noise": Augment(noise=0.2),
    "cutout": Augment(cutout_px=4),
    "mixup": Augment(mixup=0.5),
}


def all_of(*kinds: str) -> Augment:
    changed: dict[str, Any] = {}
    for kind in kinds:
        changed |= EACH[kind].model_dump(exclude_defaults=True)
    return Augment(**changed)


def noisy(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def unit(images: npt.NDArray[np.uint8]) -> Floats:
    return images / np.float32(255)


def apply(name: str, images: npt.NDArray[Any], *settings: Any, seed: int = 3) -> Floats:
    from edgebig.data import augment
    from edgebig.keras import tf

    made: Floats = getattr(augment, name)(
        tf.constant(images), *settings, tf.constant([seed, 5], tf.int64)
    ).numpy()
    return made


def whole(spec: Augment, images: npt.NDArray[np.uint8], seed: int = 3) -> tuple[Floats, Floats]:
    """Pictures and labels out of the whole augmentation; the label of picture i is class i."""
    from edgebig.data.augment import augmenter
    from edgebig.keras import tf

    height, width, channels = images.shape[1:]
    change = augmenter(spec, (height, width, channels))
    batch, labels = change(tf.constant(images), tf.eye(len(images)), tf.constant([seed, 5], tf.int64))
    assert batch.dtype == labels.dtype == tf.float32
    return batch.numpy(), labels.numpy()


def places(spec: Augment, count: int, seed: int = 3) -> npt.NDArray[np.float64]:
    """(count, h, w, 2): where from each pixel of the middle comes, x and y from the picture's centre."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramps = np.broadcast_to(np.stack([x, y], axis=-1), (count, HEIGHT, WIDTH, 2)).astype(np.uint8)
    made = apply("warp", ramps, spec, seed=seed)[:, MIDDLE[0], MIDDLE[1]] * 255.0
    return made - np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])


def maps(spec: Augment, count: int = 2000, seed: int = 3) -> npt.NDArray[np.float64]:
    """(count, 2, 3): from output pixels to input pixels, both from the centre: in = A[:, :2] @ out + A[:, 2]."""
    design = np.concatenate([places(OFF, 1)[0].reshape(-1, 2), np.ones((64, 1))], axis=1)
    made = places(spec, count, seed).reshape(count, -1, 2)
    solved = np.linalg.lstsq(design, made.transpose(1, 0, 2).reshape(len(design), -1), rcond=None)[0]
    found: npt.NDArray[np.float64] = solved.T.reshape(count, 2, 3)
    assert np.abs(np.einsum("cij,pj->cpi", found, design) - made).max() < 1e-3  # it is an affine map
    return found


def reached(values: npt.NDArray[Any], low: float, high: float) -> None:
    """Uniform draws: 2,000 come within 1 % of both ends, never go over, and spread as a uniform does."""
    slack, tiny = 0.01 * (high - low), 1e-3 * max(1.0, high)
    assert low - tiny <= values.min() < low + slack
    assert high - slack < values.max() <= high + tiny
    assert abs(values.mean() - (low + high) / 2) < 0.05 * (high - low)
    assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.05)


# --- what holds for all of them


def test_without_any_pictures_are_x_over_255_to_the_bit() -> None:
    images = noisy(5, 7, 9, 3)
    made, labels = whole(OFF, images)
    np.testing.assert_array_equal(made, unit(images))
    np.testing.assert_array_equal(labels, np.eye(5))


@pytest.mark.parametrize(
    ("name", "nothing"),
    [("stroke_width", (0.0,)), ("blur", (0.0,)), ("light", (0.0, 0.0)), ("noise", (0.0,)), ("cutout", (0,))],
)
def test_a_change_by_nothing_changes_nothing(name: str, nothing: tuple[Any, ...]) -> None:
    pictures = unit(noisy(5, 7, 9, 3))
    np.testing.assert_allclose(apply(name, pictures, *nothing), pictures, atol=1e-6)


def test_a_warp_by_nothing_is_x_over_255() -> None:
    images = noisy(5, 7, 9, 3)
    np.testing.assert_array_equal(apply("warp", images, OFF), unit(images))


@pytest.mark.parametrize("kind", EACH)
def test_each_picture_gets_its_own_draw_and_each_seed_other_ones(kind: str) -> None:
    alike = np.repeat(noisy(1, 12, 15, 3), 16, axis=0)
    if kind == "mixup":  # Of pictures that are alike nothing is mixed.
        alike = noisy(16, 12, 15, 3)
    made, labels = whole(EACH[kind], alike)
    again, labels_again = whole(EACH[kind], alike)
    assert (made.tobytes(), labels.tobytes()) == (again.tobytes(), labels_again.tobytes())
    assert len({picture.tobytes() for picture in made}) == (2 if kind == "flip" else 16)
    other, _ = whole(EACH[kind], alike, seed=4)
    same = [a.tobytes() == b.tobytes() for a, b in zip(made, other, strict=True)]
    assert sum(same) <= (15 if kind == "flip" else 0)


def test_what_is_switched_on_beside_it_does_not_change_a_draw() -> None:
    images = np.full((64, 12, 15, 1), 200, np.uint8)
    beside = all_of("flip", "affine", "elastic", "stroke", "blur", "brightness", "noise")
    alone = whole(all_of("cutout"), images)[0] == 0
    assert 0 < alone.sum() < alone.size
    # The others leave some pixels black as well, those of the cutout all.
    with_others = (
        whole(beside.model_copy(update={"cutout_px": 4, "fill": "edge", "noise": 0.01}), images)[0] == 0
    )
    np.testing.assert_array_equal(with_others, alone)
    everything = whole(all_of(*EACH), images)[1]
    np.testing.assert_array_equal(everything, whole(all_of("mixup"), images)[1])
    turned = whole(all_of("flip"), noisy(64, 12, 15, 1))[0]
    turned_and_lit = whole(all_of("flip", "contrast"), noisy(64, 12, 15, 1))[0]
    seen = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9 for a, b in zip(turned, turned_and_lit, strict=True)
    ]
    assert all(seen)


ANY = st.builds(
    Augment,
    shift_px=st.floats(0, 20),
    rotate_deg=st.floats(0, 180),
    zoom=st.floats(0, 0.99),
    shear=st.floats(0, 1),
    elastic_px=st.sampled_from([0.0, 0.5, 100.0]),
    elastic_scale_px=st.floats(2, 1000),
    stroke_px=st.floats(0, 4),
    blur_px=st.floats(0, 10),
    noise=st.floats(0, 1),
    cutout_px=st.integers(0, 20),
    mixup=st.floats(0, 10),
    flip=st.booleans(),
    brightness=st.floats(0, 1),
    contrast=st.floats(0, 0.99),
    fill=st.sampled_from(["black", "edge"]),
)
SHAPE = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


@settings(max_examples=25)
@given(ANY, SHAPE, st.integers(0, 2**40))
def test_any_of_them_together_keep_to_0_and_1(spec: Augment, shape: tuple[int, ...], seed: int) -> None:
    images = noisy(*shape)
    made, labels = whole(spec, images, seed)
    assert made.shape == images.shape
    assert np.isfinite(made).all()
    assert made.min() >= -1e-6
    assert made.max() <= 1 + 1e-6
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)


# --- the picture's place


def test_flip_mirrors_half_of_the_pictures() -> None:
    images = noisy(2000, 3, 5, 3)
    made = apply("flip", images)
    mirrored = (made == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (made == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 900 < mirrored.sum() < 1100


def test_shift_reaches_its_range_and_does_nothing_else() -> None:
    found = maps(Augment(shift_px=2))
    np.testing.assert_allclose(found[:, :, :2], np.broadcast_to(np.eye(2), (2000, 2, 2)), atol=1e-4)
    reached(found[:, 0, 2], -2, 2)
    reached(found[:, 1, 2], -2, 2)
    assert abs(np.corrcoef(found[:, 0, 2], found[:, 1, 2])[0, 1]) < 0.1


def test_rotation_reaches_its_range_about_the_middle() -> None:
    found = maps(Augment(rotate_deg=12))
    angle = np.arctan2(found[:, 1, 0], found[:, 0, 0])
    expected = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1)
    np.testing.assert_allclose(found[:, :, :2], expected.reshape(-1, 2, 2), atol=1e-4)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-3)
    reached(np.degrees(angle), -12, 12)


def test_zoom_makes_pictures_between_1_minus_and_1_plus_as_large() -> None:
    found = maps(Augment(zoom=0.13))
    size = 1 / found[:, 0, 0]
    np.testing.assert_allclose(found[:, :, :2], np.eye(2) / size[:, None, None], atol=1e-4)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-3)
    reached(size, 0.87, 1.13)


def test_shear_slants_along_x_alone() -> None:
    found = maps(Augment(shear=0.15))
    expected = np.broadcast_to(np.eye(2), (2000, 2, 2)).copy()
    expected[:, 0, 1] = found[:, 0, 1]
    np.testing.assert_allclose(found[:, :, :2], expected, atol=1e-4)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-3)
    reached(found[:, 0, 1], -0.15, 0.15)


@pytest.mark.parametrize("elastic_px", [0.0, 1e-6])
def test_the_four_are_drawn_apart_and_are_one_map(elastic_px: float) -> None:
    spec = Augment(**AFFINE, elastic_px=elastic_px)
    found = maps(spec)
    linear = found[:, :, :2]
    angle = np.arctan2(found[:, 1, 0], found[:, 1, 1])
    size = 1 / np.hypot(found[:, 1, 0], found[:, 1, 1])
    slant = linear[:, 0, 1] * size + np.sin(angle)
    # The shift as it was drawn: the map's own is of the centre, which the other three leave where it is.
    drawn = {
        "angle": np.degrees(angle),
        "size": size,
        "slant": slant,
        "x": found[:, 0, 2],
        "y": found[:, 1, 2],
    }
    ranges = {"angle": (-12, 12), "size": (0.87, 1.13), "slant": (-0.15, 0.15), "x": (-2, 2), "y": (-2, 2)}
    for name, (low, high) in ranges.items():
        reached(drawn[name], low, high)
    assert np.abs(np.corrcoef(list(drawn.values())) - np.eye(5)).max() < 0.1
    assert not np.allclose(found[:200], maps(spec, 200, seed=4))


def bilinear(picture: Floats, x: npt.NDArray[Any], y: npt.NDArray[Any], fill: str) -> npt.NDArray[np.float64]:
    """A picture (H, W, C) at places, pixel by pixel."""
    height, width = picture.shape[:2]
    if fill == "edge":
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    made = np.zeros((*x.shape, picture.shape[2]))
    for left, share_x in ((np.floor(x), 1 - x % 1), (np.floor(x) + 1, x % 1)):
        for top, share_y in ((np.floor(y), 1 - y % 1), (np.floor(y) + 1, y % 1)):
            inside = (left >= 0) & (left < width) & (top >= 0) & (top < height)
            column, row = np.where(inside, left, 0).astype(int), np.where(inside, top, 0).astype(int)
            made += (inside * share_x * share_y)[..., None] * picture[row, column]
    return made


@pytest.mark.parametrize("fill", ["black", "edge"])
@pytest.mark.parametrize("elastic_px", [0.0, 1e-6])
def test_pixels_are_those_of_a_numpy_reference(elastic_px: float, fill: str) -> None:
    spec = Augment(**AFFINE, elastic_px=elastic_px, fill=fill)
    images = noisy(30, HEIGHT, WIDTH, 3)
    made = apply("warp", images, spec)
    y, x = np.mgrid[:HEIGHT, :WIDTH] - np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])[:, None, None]
    for index, found in enumerate(maps(spec, 30)):
        from_x, from_y = np.einsum("ij,jhw->ihw", found, np.stack([x, y, np.ones_like(x)]))
        reference = bilinear(unit(images[index]), from_x + (WIDTH - 1) / 2, from_y + (HEIGHT - 1) / 2, fill)
        np.testing.assert_allclose(made[index], reference, atol=2e-3)


@settings(max_examples=50)
@given(st.data())
def test_samples_are_bilinear_wherever_they_lie(data: st.DataObject) -> None:
    from edgebig.data.augment import _sample

    count, height, width = (data.draw(st.integers(1, most)) for most in (3, 6, 6))
    channels, fill = data.draw(st.sampled_from([1, 2, 3])), data.draw(st.sampled_from(["black", "edge"]))
    images = noisy(count, height, width, channels)
    place = st.one_of(st.integers(-3, 9), st.floats(-1e6, 1e6, width=32), st.floats(-2, 8, width=32))
    some = data.draw(st.lists(place, min_size=1, max_size=40))
    where = np.resize(np.array(some, np.float32), (count, 2, height, width))
    made = _sample(images, where, edge=fill == "edge").numpy()
    for index in range(count):
        reference = bilinear(unit(images[index]), *where[index].astype(np.float64), fill)
        np.testing.assert_allclose(made[index], reference, atol=1e-5)


@pytest.mark.parametrize("fill", ["black", "edge"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gathering_gives_the_same_pixels_as_tensorflows_own_transformation(fill: str, channels: int) -> None:
    images = noisy(50, 20, 13, channels)
    transformed = apply("warp", images, Augment(**AFFINE, fill=fill))
    gathered = apply("warp", images, Augment(**AFFINE, fill=fill, elastic_px=1e-6))
    np.testing.assert_allclose(gathered, transformed, atol=1e-4)
    # It is the other path that made them.
    assert not np.array_equal(gathered, transformed)


@pytest.mark.parametrize("elastic_px", [0.0, 0.5])
def test_what_comes_in_from_outside_is_black_or_the_edge(elastic_px: float) -> None:
    white = np.full((50, 12, 17, 1), 255, np.uint8)
    moved = {"shift_px": 4.0, "rotate_deg": 20.0, "elastic_px": elastic_px}
    np.testing.assert_allclose(apply("warp", white, Augment(**moved, fill="edge")), 1, atol=1e-6)
    black = apply("warp", white, Augment(**moved, fill="black"))
    assert (black.min(axis=(1, 2, 3)) == 0).mean() > 0.9
    np.testing.assert_allclose(black[:, 5:7, 7:10], 1, atol=1e-6)


# --- elastic


def test_the_field_spreads_by_elastic_px_at_each_pixel_and_x_and_y_are_drawn_apart() -> None:
    from edgebig.data.augment import elastic_field
    from edgebig.keras import tf

    spec = Augment(elastic_px=1.5, elastic_scale_px=6)
    field = elastic_field(20_000, 9, 13, spec, tf.constant([3, 5], tf.int64)).numpy()
    assert field.shape == (20_000, 2, 9, 13)
    np.testing.assert_allclose(field.std(axis=0), 1.5, rtol=0.04)
    np.testing.assert_allclose(field.mean(axis=0), 0, atol=0.05)
    correlated = (field[:, 0] * field[:, 1]).mean(axis=0) / 1.5**2
    assert np.abs(correlated).max() < 0.04
    # Normal: its fourth moment is three times the square of its second.
    assert (field[:, 0, 4, 6] ** 4).mean() / 1.5**4 == pytest.approx(3, rel=0.1)


def test_the_field_is_smooth_over_elastic_scale_px_and_forgets_beyond_it() -> None:
    from edgebig.data.augment import elastic_field
    from edgebig.keras import tf

    scale = 5.0
    spec = Augment(elastic_px=1.0, elastic_scale_px=scale)
    field = elastic_field(20_000, 1, 40, spec, tf.constant([3, 5], tf.int64)).numpy()[:, 0, 0]
    correlation = field.T @ field / len(field)
    near = np.diagonal(correlation, 1)
    at_scale = np.diagonal(correlation, int(scale))
    beyond = np.diagonal(correlation, 4 * int(scale))
    assert near.min() > 0.93
    assert 0.2 < at_scale.min() < at_scale.max() < 0.8
    assert np.abs(beyond).max() < 0.04
    # No kinks: a second difference is a small share of a displacement.
    assert np.diff(field, 2).std() < 0.12


def test_what_a_picture_goes_through_is_the_field() -> None:
    from edgebig.data.augment import elastic_field
    from edgebig.keras import tf

    spec = Augment(elastic_px=0.8)
    at_rest = places(OFF, 1)
    bent = places(spec, 3000) - at_rest
    np.testing.assert_allclose(bent.std(axis=0), 0.8, rtol=0.06)
    assert np.abs((bent[..., 0] * bent[..., 1]).mean(axis=0)).max() < 0.06
    assert np.diff(bent, axis=1).std() < 0.25
    assert np.diff(bent, axis=2).std() < 0.25
    reach = elastic_field(3000, HEIGHT, WIDTH, spec, tf.constant([3, 5], tf.int64)).numpy().max()
    assert bent.max() < 1.5 * reach


@given(st.integers(1, 60), st.floats(2, 1000))
def test_spline_weights_keep_the_variance_of_white_noise(size: int, spacing: float) -> None:
    from edgebig.data.augment import _spline

    weights = _spline(size, spacing)
    assert len(weights) == size
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-5)
    assert weights.min() >= 0
    # As a B-spline is, four at a time, and the last control point is used or nearly.
    assert ((weights > 0).sum(axis=1) <= 4).all()


# --- the optics


def bars(count: int, width: int) -> Floats:
    pictures = np.zeros((count, 20, 31, 1), np.float32)
    pictures[:, :, 10 : 10 + width] = 1
    return pictures


@pytest.mark.parametrize("most_px", [0.7, 1.0, 2.5])
def test_strokes_grow_and_shrink_by_up_to_that_many_pixels_at_each_edge(most_px: float) -> None:
    made = apply("stroke_width", bars(2000, 9), most_px)
    widths = made.sum(axis=2)[..., 0]
    np.testing.assert_allclose(widths, np.broadcast_to(widths[:, :1], widths.shape), atol=1e-4)
    each_edge = (widths[:, 0] - 9) / 2
    reached(each_edge, -most_px, most_px)
    # An edge moves as a whole: what it has gone over is white or black, and one pixel at each side is in between.
    between = ((made[:, 0] > 1e-6) & (made[:, 0] < 1 - 1e-6)).sum(axis=(1, 2))
    assert between.max() <= 2
    about_the_bar = made[:, 0, :29]
    np.testing.assert_allclose(about_the_bar, about_the_bar[:, ::-1], atol=1e-6)


def test_strokes_of_a_pixel_are_shares_of_dilation_and_erosion() -> None:
    pictures = unit(noisy(40, 9, 11, 3))
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    shifted = [padded[:, y : y + 9, x : x + 11] for y in range(3) for x in range(3)]
    dilated, eroded = np.nanmax(shifted, axis=0), np.nanmin(shifted, axis=0)
    shares = []
    for picture, made, most, least in zip(
        pictures, apply("stroke_width", pictures, 1.0), dilated, eroded, strict=True
    ):
        to = most if made.mean() > picture.mean() else least
        share = (made - picture).mean() / (to - picture).mean()
        np.testing.assert_allclose(made, picture + share * (to - picture), atol=1e-5)
        shares.append(share)
    assert 0 <= min(shares) < 0.2 < 0.8 < max(shares) <= 1


def blurred(picture: npt.NDArray[Any], variance: float) -> npt.NDArray[np.float64]:
    """(H, W): heat that spreads between neighbours and through no edge, for a time of `variance` / 2, axis by axis."""
    for axis, size in enumerate(picture.shape):
        flow = np.diag(np.full(size - 1, 1.0), 1)
        flow = flow + flow.T - np.diag((flow + flow.T).sum(axis=0))
        rates, modes = np.linalg.eigh(flow)
        spread = modes @ np.diag(np.exp(rates * variance / 2)) @ modes.T
        picture = np.moveaxis(np.tensordot(spread, picture, axes=(1, axis)), 0, axis)
    return picture


def variances(count: int, most_px: float) -> npt.NDArray[np.float64]:
    """(count, 2): of the blurred image of a point, along y and x."""
    points = np.zeros((count, 61, 55, 1), np.float32)
    points[:, 30, 27] = 1
    made = apply("blur", points, most_px)[..., 0].astype(np.float64)
    np.testing.assert_allclose(made.sum(axis=(1, 2)), 1, rtol=1e-4)
    assert made.min() >= 0
    y, x = np.arange(61) - 30, np.arange(55) - 27
    return np.stack([(made.sum(axis=2) * y**2).sum(axis=1), (made.sum(axis=1) * x**2).sum(axis=1)], axis=1)


def test_the_blur_of_a_point_has_the_standard_deviation_that_was_drawn() -> None:
    found = variances(1000, 2.0)
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=2e-3)
    reached(np.sqrt(found[:, 0]), 0, 2)


def test_a_wide_blur_of_a_point_is_a_gaussian() -> None:
    points = np.zeros((30, 41, 41, 1), np.float32)
    points[:, 20, 20] = 1
    made = apply("blur", points, 3.0)
    spread = (made.sum(axis=(2, 3)) * (np.arange(41) - 20) ** 2).sum(axis=1)
    far = np.sum((np.mgrid[:41, :41] - 20) ** 2, axis=0)
    for picture, variance in zip(made[..., 0], spread, strict=True):
        if variance > 4:
            gaussian = np.exp(-far / (2 * variance)) / (2 * np.pi * variance)
            np.testing.assert_allclose(picture, gaussian, atol=0.08 * gaussian.max())


def test_blur_is_that_of_a_numpy_reference_and_keeps_the_light_at_the_edges_too() -> None:
    pictures = unit(noisy(20, 11, 14, 3))
    made = apply("blur", pictures, 1.5)
    np.testing.assert_allclose(made.sum(axis=(1, 2)), pictures.sum(axis=(1, 2)), rtol=1e-5)
    for picture, result, (variance, _) in zip(pictures, made, variances(20, 1.5), strict=True):
        for channel in range(3):
            np.testing.assert_allclose(
                result[..., channel], blurred(picture[..., channel], variance), atol=1e-3
            )


@pytest.mark.parametrize("size", [1, 2, 3, 28])
def test_a_wide_blur_of_a_small_picture_is_its_mean(size: int) -> None:
    pictures = unit(noisy(200, size, 2, 1))
    made = apply("blur", pictures, 10.0)
    np.testing.assert_allclose(made.mean(axis=(1, 2)), pictures.mean(axis=(1, 2)), atol=1e-5)
    assert np.median(made.std(axis=2)) < 1e-3


# --- the light and the sensor


def test_brightness_is_added_alike_to_all_pixels_up_to_its_range() -> None:
    pictures = 0.4 + 0.2 * unit(noisy(2000, 5, 6, 3))
    added = apply("light", pictures, 0.3, 0.0) - pictures
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1, :1], added.shape), atol=1e-6)
    reached(added[:, 0, 0, 0], -0.3, 0.3)


def test_contrast_is_about_the_pictures_own_mean() -> None:
    pictures = 0.4 + 0.2 * unit(noisy(2000, 5, 6, 3))
    made = apply("light", pictures, 0.0, 0.6)
    mean = pictures.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(made.mean(axis=(1, 2, 3), keepdims=True), mean, atol=1e-6)
    gain = made.std(axis=(1, 2, 3)) / pictures.std(axis=(1, 2, 3))
    np.testing.assert_allclose(made - mean, (pictures - mean) * gain[:, None, None, None], atol=1e-6)
    reached(gain, 0.4, 1.6)


def test_brightness_and_contrast_are_drawn_apart_and_cut_off_once() -> None:
    pictures = unit(noisy(2000, 5, 6, 1))
    made = apply("light", pictures, 0.3, 0.6)
    assert (made.min(), made.max()) == (0, 1)
    grey = np.full((2000, 5, 6, 1), 0.5, np.float32)
    grey[:, 0, 0], grey[:, 0, 1] = 0.45, 0.55
    lit = apply("light", grey, 0.3, 0.6)
    gain, added = (lit[:, 0, 1] - lit[:, 0, 0])[:, 0] / 0.1, lit[:, 1, 1, 0] - 0.5
    assert abs(np.corrcoef(gain, added)[0, 1]) < 0.1


def test_noise_is_normal_and_its_deviation_up_to_the_most() -> None:
    grey = np.full((2000, 16, 20, 3), 0.5, np.float32)
    grain = apply("noise", grey, 0.1) - 0.5
    deviation = grain.std(axis=(1, 2, 3))
    assert 0.095 < deviation.max() < 0.11
    assert deviation.min() < 0.002
    assert deviation.mean() == pytest.approx(0.05, rel=0.05)
    scaled = grain[deviation > 0.02] / deviation[deviation > 0.02, None, None, None]
    assert abs(scaled.mean()) < 0.01
    assert (scaled**4).mean() == pytest.approx(3, rel=0.02)
    assert abs((scaled[..., 0] * scaled[..., 1]).mean()) < 0.01
    assert abs((scaled[:, 1:] * scaled[:, :-1]).mean()) < 0.01


@pytest.mark.parametrize("side", [1, 5, 9, 30])
def test_cutout_is_one_square_that_covers_each_pixel_as_often(side: int) -> None:
    count, height, width = 6000, 8, 11
    cut = apply("cutout", np.ones((count, height, width, 2), np.float32), side)
    assert set(np.unique(cut)) <= {0.0, 1.0}
    np.testing.assert_array_equal(cut[..., 0], cut[..., 1])
    black = cut[..., 0] == 0
    rows, columns = black.any(axis=2), black.any(axis=1)
    np.testing.assert_array_equal(black, rows[:, :, None] & columns[:, None, :])
    for across, size in ((rows, height), (columns, width)):
        lengths = across.sum(axis=1)
        assert lengths.min() >= 1
        assert lengths.max() == min(side, size)
        assert (np.abs(np.diff(across.astype(int), axis=1)).sum(axis=1) <= 2).all()  # in one piece
        # It is shorter only where the picture ends.
        assert (across[:, 0] | across[:, -1])[lengths < side].all()
    expected = side**2 / ((height + side - 1) * (width + side - 1))
    spread = (expected * (1 - expected) / count) ** 0.5
    assert np.abs(black.mean(axis=0) - expected).max() < 5 * spread


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0])
def test_mixup_mixes_pictures_and_labels_by_one_share_of_a_beta(alpha: float) -> None:
    from edgebig.data.augment import mixup
    from edgebig.keras import tf

    count = 2000
    pictures = np.random.default_rng(0).random((count, 2, 3, 3), np.float32)
    made, labels = (
        part.numpy()
        for part in mixup(tf.constant(pictures), tf.eye(count), alpha, tf.constant([3, 5], tf.int64))
    )
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    share = np.diagonal(labels)
    assert share.min() >= 0.5
    assert ((labels > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(made, np.einsum("ij,jhwc->ihwc", labels, pictures), atol=1e-5)
    # Each is the other of one at most.
    assert ((labels > 0).sum(axis=0) <= 2).all()
    beta = np.random.default_rng(1).beta(alpha, alpha, 20_000)
    expected = np.maximum(beta, 1 - beta)
    for at in np.linspace(0.5, 0.999, 50):  # as Kolmogorov and Smirnov would
        assert abs((share <= at).mean() - (expected <= at).mean()) < 0.045
    assert share.mean() == pytest.approx(expected.mean(), abs=0.01)


# --- the user's own


def own(tmp_path: Path, body: str) -> Augment:
    path = tmp_path / "mine.py"
    path.write_text(f"import numpy as np\nimport tensorflow as tf\n\n\ndef change(pictures, seed):\n{body}\n")
    return Augment(function=f"python:{path}:change")


def refused(spec: Augment) -> EdgebigError:
    from edgebig.data.augment import augmenter

    with pytest.raises(EdgebigError) as caught:
        augmenter(spec, (6, 7, 3))
    return caught.value


def test_the_users_function_comes_after_the_others_with_a_seed_of_its_own(tmp_path: Path) -> None:
    body = """    at = tf.random.stateless_uniform([tf.shape(pictures)[0], 1, 1, 1], seed)
    return tf.where(pictures > 0.5, at, pictures)"""
    images = np.full((16, 6, 7, 3), 255, np.uint8)
    spec = own(tmp_path, body)
    made, _ = whole(spec, images)
    assert len(np.unique(made)) == 16
    assert made.tobytes() == whole(spec, images)[0].tobytes()
    assert made.tobytes() != whole(spec, images, seed=4)[0].tobytes()
    black = whole(spec.model_copy(update={"cutout_px": 3}), images)[0] == 0
    np.testing.assert_array_equal(black, whole(Augment(cutout_px=3), images)[0] == 0)


@pytest.mark.parametrize(
    ("body", "gave"),
    [
        ("    return pictures[:, :5]", "float32 (8, 5, 7, 3)"),
        ("    return pictures[:4]", "float32 (4, 6, 7, 3)"),
        ("    return tf.numpy_function(lambda x: x[:, 1:], [pictures], tf.float32)", "float32 (8, 5, 7, 3)"),
        ("    return tf.cast(255 * pictures, tf.uint8)", "uint8 ("),
        ("    return tf.cast(pictures, tf.float64)", "float64 ("),
    ],
)
def test_other_shapes_and_types_of_the_users_function_are_refused(
    tmp_path: Path, body: str, gave: str
) -> None:
    error = refused(own(tmp_path, body))
    assert f"{tmp_path / 'mine.py'}: change(pictures, seed) gave {gave}" in error.problem
    assert "float32 (B, 6, 7, 3)" in error.hint


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("    return 255 * pictures", "from 0 to 255"),
        ("    return pictures - 0.5", "from -0.5 to 0.5"),
        ("    return pictures / tf.reduce_max(pictures, axis=[1, 2, 3], keepdims=True)", "nan"),
    ],
)
def test_values_outside_0_and_1_are_refused_before_the_first_step(
    tmp_path: Path, body: str, told: str
) -> None:
    error = refused(own(tmp_path, body))
    assert told in error.problem
    assert "clip_by_value" in error.hint


def test_values_that_stray_later_are_kept_in_0_and_1(tmp_path: Path) -> None:
    # The seed of the trial is another one than those of the batches.
    body = "    return tf.where(tf.reduce_all(seed == 0), pictures, 4.0 * pictures - 1.0)"
    made, _ = whole(own(tmp_path, body), noisy(4, 6, 7, 3))
    assert (made.min(), made.max()) == (0, 1)


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ("    x = 1\n    return pictures + missing", 7, "NameError: name 'missing'"),
        ("    return np.clip(pictures, 0, 1)", 6, "NotImplementedError: Cannot convert a symbolic tf.Tensor"),
        ("    if tf.reduce_max(pictures) > 0:\n        return pictures", 6, "OperatorNotAllowedInGraphError"),
        ("    return tf.reshape(pictures, [-1, 5])", 6, "ValueError"),
        (
            "    def turned(x):\n        return x.reshape(7, 3)\n"
            "    return tf.numpy_function(turned, [pictures], tf.float32)",
            7,
            "ValueError: cannot reshape array",
        ),
        ("    tf.debugging.assert_less(pictures, 0.5, 'too bright')\n    return pictures", 6, "too bright"),
    ],
)
def test_an_error_in_the_users_function_is_told_as_theirs(
    tmp_path: Path, body: str, line: int, told: str
) -> None:
    error = refused(own(tmp_path, body))
    assert error.problem.startswith(f"{tmp_path / 'mine.py'}:{line}: change(pictures, seed) fails: ")
    assert told in error.problem
    assert "\n" not in error.problem
    assert error.hint == "mend your file"


def test_a_users_function_that_gives_nothing_is_told_as_theirs(tmp_path: Path) -> None:
    assert "change(pictures, seed) fails" in refused(own(tmp_path, "    pictures * 2")).problem
