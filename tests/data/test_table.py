"""csv:FILE: the pictures that a table names, and every fault of it with its line."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data.listing import PARTS, Listing
from edgebig.data.table import list_table
from edgebig.errors import EdgebigError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "photos.csv"


def listed(table: Path, text: str | bytes, wanted: tuple[str, ...] | None = None) -> Listing:
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list_table(table, wanted)


def faults(table: Path, text: str | bytes) -> list[str]:
    with pytest.raises(EdgebigError) as caught:
        listed(table, text)
    assert caught.value.hint
    return [line.removeprefix(f"csv:{table}").strip() for line in caught.value.problem.splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nsub/b.png,dog\n",
        "\ufeffpath,label\r\na.png,cat\r\nsub/b.png,dog\r\n",
        'label , id,path\n"cat",7,"a.png"\n\n dog,, sub/b.png \n',
        'path,label\r"a.png","cat"\rsub/b.png,dog',
    ],
)
def test_columns_in_any_order_with_any_line_ends(table: Path, text: str) -> None:
    listing = listed(table, text)
    assert listing.folder == table.parent
    assert listing.classes == ("cat", "dog")
    assert listing.names == ("a.png", "sub/b.png")
    assert listing.labels.tolist() == [0, 1]
    assert listing.labels.dtype == np.int64
    assert listing.parts is None


def test_a_split_column_is_the_split(table: Path) -> None:
    listing = listed(
        table, "split,path,label\nval,a.png,x\nTrain,b.png,y\ntest,c.png,x\nvalidation,d.png,y\n"
    )
    assert listing.parts is not None
    assert [PARTS[part] for part in listing.parts] == ["validation", "train", "test", "validation"]


def test_a_message_names_the_line_on_which_a_record_starts(table: Path) -> None:
    listing = listed(table, 'path,label,note\nb.png,x,"two\nlines"\n\na.png,y,\n')
    assert [listing.told(index) for index in range(2)] == ["line 5: a.png", "line 2: b.png"]


def test_labels_are_classes_in_natural_order_and_may_be_chosen(table: Path) -> None:
    text = "path,label\n" + "".join(f"{number}.png,{number}\n" for number in (10, 9, 1, 2))
    assert listed(table, text).classes == ("1", "2", "9", "10")
    some = listed(table, text, ("10", "2"))
    assert some.classes == ("2", "10")
    assert some.names == ("10.png", "2.png")
    assert some.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: no column path and none label, it has nothing"),
        ("path,class\na.png,x\n", "line 1: no column label, it has path, class"),
        ("path;label\na.png;x\n", "line 1: no column path and none label, it has path;label"),
        ("path,label,path\n", "line 1: two columns path"),
        ("path,label\n", ": no line names a picture"),
        ("path,label\na.png\n", "line 2: 1 columns and not 2: text with a comma in it needs quotation marks"),
        (
            "path,label\na.png,x,y\n",
            "line 2: 3 columns and not 2: text with a comma in it needs quotation marks",
        ),
        ("path,label\n,x\n", "line 2: path is empty"),
        ("path,label\na.png, \n", "line 2: label is empty"),
        (
            "path,label\na.png,x\ty\n",
            r"line 2: 'x\ty' is no name for a class: it holds control characters or is not UTF-8",
        ),
        ("path,label,split\na.png,x,\n", "line 2: split is '' and not train, val or test"),
        ("path,label,split\na.png,x,training\n", "line 2: split is 'training' and not train, val or test"),
        ("path,label\na.png,x\nsub/../a.png,y\n", "line 3: sub/../a.png stands on line 2 too"),
        (b"path,label\na.png,caf\xe9\n", "line 2: not UTF-8"),
        ("path,label\na.png,x\n".encode("utf-16"), "line 1: not UTF-8"),
    ],
)
def test_each_fault_is_told_with_its_line(table: Path, text: str | bytes, fault: str) -> None:
    assert faults(table, text) == [fault]


@pytest.mark.parametrize(
    ("text", "line"), [('path,label\n"a.png,x\n', 2), ('path,label\n"a"b.png,x\n', 2), ('"path,label\n', 1)]
)
def test_a_quotation_mark_that_is_missing(table: Path, text: str, line: int) -> None:
    (fault,) = faults(table, text)
    assert fault.startswith(f"line {line}: ")
    assert fault.endswith("is a quotation mark missing?")


def test_all_faults_are_told_at_once_up_to_ten(table: Path) -> None:
    told = faults(table, "path,label\n" + ",x\n" * 30 + ",\n" * 5)  # empty rows, as spreadsheets leave
    assert told[0] == "line 2: path is empty"
    assert told[9:] == ["line 11: path is empty", "and 20 more"]


def test_no_file_and_a_folder(table: Path) -> None:
    with pytest.raises(EdgebigError, match="No such file"):
        list_table(table, None)
    with pytest.raises(EdgebigError, match="Is a directory") as caught:
        list_table(table.parent, None)
    assert "images:DIR" in caught.value.hint


WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
ROWS = st.lists(
    st.tuples(WORDS, WORDS, st.sampled_from(PARTS)),
    min_size=1,
    unique_by=lambda row: os.path.normpath(row[0]),
)


@given(
    rows=ROWS,
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
@settings(max_examples=50)
def test_what_was_written_as_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], ending: str, quoting: int
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ending, quoting=quoting)
    writer.writerows([("path", "label", "split"), *rows])
    listing = listed(tmp_path_factory.getbasetemp() / "round.csv", text.getvalue())
    assert listing.parts is not None
    labels = [listing.classes[label] for label in listing.labels]
    parts = [PARTS[part] for part in listing.parts]
    assert list(zip(listing.names, labels, parts, strict=True)) == sorted(rows)


@given(body=st.binary(max_size=60))
@settings(max_examples=50)
def test_any_bytes_are_a_table_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    try:
        assert listed(tmp_path_factory.getbasetemp() / "any.csv", b"path,label\n" + body).names
    except EdgebigError as error:
        lines = error.problem.splitlines()
        assert all(line.isprintable() for line in lines)
