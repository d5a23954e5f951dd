"""JUnit XML that every reader of it takes, whatever is in a name."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.report.junit import Case, document

# Of Jenkins's, GitLab's and surefire's schema what is used here: element -> its attributes, and what may stand in it.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped"}, {"properties", "testcase"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname"}, {"failure", "error", "skipped", "system-out"}),
    "error": ({"type", "message"}, set()),
    "failure": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}
ANY = st.text(st.characters(), max_size=20)  # surrogates and control characters too
CASES = st.lists(
    st.builds(Case, ANY, ANY, st.sampled_from(["PASS", "FAIL", "ERROR", "INCONCLUSIVE", None]), ANY),
    max_size=6,
)


def check(element: Any) -> None:
    attributes, children = ALLOWED[element.tag]
    assert set(element.attrib) == attributes
    assert {child.tag for child in element} <= children
    for child in element:
        check(child)


@given(ANY, CASES, st.dictionaries(ANY, ANY, max_size=3), st.booleans())
def test_any_text_makes_a_whole_document(
    suite: str, cases: list[Case], properties: dict[str, str], strict: bool
) -> None:
    data = document(suite, cases, properties, strict=strict).encode("utf-8")
    root = ET.fromstring(data)
    check(root)
    (group,) = root
    assert len(group) == len(cases) + 1
    found = [[child.tag for child in case] for case in group.findall("testcase")]
    wanted = {
        "PASS": "system-out", "FAIL": "failure", "ERROR": "error",
        "INCONCLUSIVE": "failure" if strict else "skipped", None: "skipped",
    }  # fmt: skip
    assert found == [[wanted[case.verdict]] for case in cases]
    counted = [sum(tags == [tag] for tags in found) for tag in ("failure", "error", "skipped")]
    assert [group.attrib[key] for key in ("failures", "errors", "skipped")] == [
        str(count) for count in counted
    ]
    assert root.attrib["errors"] == group.attrib["errors"]
    assert group.attrib["tests"] == root.attrib["tests"] == str(len(cases))


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFFFD, exclude_categories=["Cs"])))
def test_what_can_be_written_comes_back(name: str) -> None:
    root = ET.fromstring(document(name, [Case(name, name, "FAIL", name)], {}).encode())
    assert root[0].attrib["name"] == root[0][1].attrib["classname"] == name
    assert root[0][1][0].attrib["message"] == f"FAIL: {name}"


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "\udcff", "\ufffe", '"<&>]]>'])
def test_what_no_xml_can_hold_is_written_as_python_would(text: str) -> None:
    root = ET.fromstring(document("s", [Case(text, "n", "PASS", text)], {}).encode())
    assert root[0][1].attrib["classname"] in (
        text,
        ascii(text)[1:-1],
        ascii(text)[1:-1].replace("\x1b", "\\x1b"),
    )
