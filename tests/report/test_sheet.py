"""The contact sheet: every class on it as long as there is room, each picture where it belongs, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data.examples import Examples
from edgebig.report import sheet
from edgebig.report.drawing import PAPER


@given(
    classes=st.integers(1, 3000),
    height=st.integers(1, 4096),
    width=st.integers(1, 4096),
    versions=st.sampled_from([0, sheet.VERSIONS]),
    long=st.booleans(),
    most=st.integers(0, 12),
)
@settings(max_examples=60)
def test_a_sheet_has_bounds(
    classes: int, height: int, width: int, versions: int, long: bool, most: int
) -> None:
    names = [("a long name of a class " if long else "") + str(k % 7) for k in range(classes)]
    plan = sheet.layout((height, width, 1), names, most, versions=versions)
    assert 1 <= plan.classes <= classes
    assert plan.blocks * plan.rows >= plan.classes
    assert plan.blocks * plan.block_px + 12 <= sheet.MOST_WIDTH_PX
    assert plan.rows * plan.row_px + 12 * 20 + 36 <= sheet.MOST_HEIGHT_PX
    assert 1 <= plan.each <= max(1, most)
    assert max(plan.cell) <= 112
    assert min(plan.cell) >= 1
    if classes <= 100:
        assert plan.classes == classes


@pytest.mark.parametrize(
    ("side_px", "cell_px"), [(28, 112), (32, 96), (100, 100), (112, 112), (113, 112), (4096, 112)]
)
def test_small_pictures_are_enlarged_by_whole_pixels(side_px: int, cell_px: int) -> None:
    assert sheet.layout((side_px, side_px, 1), ["a", "b"], 9).cell == (cell_px, cell_px)


def test_ten_classes_have_ten_pictures_each_and_hundreds_are_still_all_there() -> None:
    names = [str(k) for k in range(400)]
    assert sheet.layout((28, 28, 1), names[:10], 99).each == 10
    assert sheet.layout((224, 224, 3), names[:100], 99).each == 10
    assert sheet.layout((28, 28, 1), names, 99).classes == 400


def drawn(channels: int, versions: int, per_class: tuple[int, ...] = (3, 0, 2)) -> None:
    """Finds each picture of a sheet where its row and place say, enlarged four times and nothing else."""
    labels = np.repeat(np.arange(len(per_class)), per_class)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (len(labels), 28, 20, channels), np.uint8)
    train = Examples(images, labels)
    chosen = [np.flatnonzero(labels == label) for label in range(len(per_class))]
    made = random.integers(0, 256, (len(labels), versions, 28, 20, channels), np.uint8) if versions else None
    names = [f"name {label}" for label in range(len(per_class))]
    plan = sheet.layout(train.shape, names, max(per_class), versions=versions)
    assert plan.cell == (112, 80)
    pixels = np.asarray(sheet.draw(train, names, plan, chosen, "a caption", made))
    top = pixels.shape[0] - 12 - plan.rows * plan.row_px
    for label, members in enumerate(chosen):
        for place, index in enumerate(members):
            x, y = 12 + plan.name_px + place * plan.group_px, top + label * plan.row_px
            row = [images[index], *(made[index] if made is not None else ())]
            for number, picture in enumerate(row):
                left = x + number * 84
                seen = pixels[y : y + 112, left : left + 80]
                wanted = picture[..., :3] if channels == 3 else picture[..., :1]
                assert np.array_equal(seen, np.broadcast_to(wanted.repeat(4, 0).repeat(4, 1), seen.shape))
            frame = pixels[y - 1, x + 3].tolist()
            assert (frame != list(PAPER)) == bool(versions)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_picture_is_where_it_belongs(channels: int) -> None:
    drawn(channels, 0)


def test_versions_follow_their_picture() -> None:
    drawn(1, sheet.VERSIONS, (2, 0, 1))


def test_big_pictures_are_reduced() -> None:
    images = np.zeros((2, 300, 600, 1), np.uint8)
    images[:, :, 300:] = 255
    train = Examples(images, np.array([0, 1]))
    plan = sheet.layout(train.shape, ["a", "b"], 1)
    assert plan.cell == (56, 112)
    picture = sheet.draw(train, ["a", "b"], plan, [np.array([0]), np.array([1])], "")
    seen = np.asarray(picture)[-12 - plan.row_px :, 12 + plan.name_px :][:56, :112, 0]
    assert seen[:, :50].max() == 0
    assert seen[:, 62:].min() == 255


def test_names_and_captions_of_any_script_and_length() -> None:
    names = ["größe", "猫", "x" * 300, "\x1b[31m", "", "ok"]
    train = Examples(np.zeros((6, 8, 8, 1), np.uint8), np.arange(6))
    plan = sheet.layout(train.shape, names, 1)
    caption = " ".join(["word", "w" * 900, "名前"] * 40)
    picture = sheet.draw(train, names, plan, [np.array([k]) for k in range(6)], caption)
    assert picture.width <= sheet.MOST_WIDTH_PX
    assert picture.height <= sheet.MOST_HEIGHT_PX


def test_three_thousand_classes_can_be_drawn() -> None:
    names = [str(k) for k in range(3000)]
    train = Examples(np.zeros((3000, 8, 8, 1), np.uint8), np.arange(3000))
    plan = sheet.layout(train.shape, names, 1)
    assert 500 < plan.classes < 3000
    picture = sheet.draw(train, names, plan, [np.array([k]) for k in range(plan.classes)], "")
    assert picture.size <= (sheet.MOST_WIDTH_PX, sheet.MOST_HEIGHT_PX)
