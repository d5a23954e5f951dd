"""Verdicts as JUnit XML, as GitLab, GitHub's actions and Jenkins read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from edgebig.stats import Verdict

# All that XML 1.0 can hold; the rest is written as Python would.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """What was asked of a `subject` (a model), and the answer.

    verdict None: it could not be asked; ERROR: what should answer failed.
    """

    subject: str
    name: str
    verdict: Verdict | Literal["ERROR"] | None
    text: str


def document(
    suite: str, cases: Sequence[Case], properties: Mapping[str, str], *, strict: bool = False
) -> str:
    """A <testsuites> of one suite. FAIL is a failure, ERROR an error; what is not told is skipped, and where `strict`
    INCONCLUSIVE is a failure too.
    """
    elements = [_element(case, strict) for case in cases]
    failures, errors, skipped = (elements.count(name) for name in ("failure", "error", "skipped"))
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": str(errors)}
    root = ET.Element("testsuites", {"name": "edgebig", **counts})
    group = ET.SubElement(root, "testsuite", {"name": _clean(suite), **counts, "skipped": str(skipped)})
    listed = ET.SubElement(group, "properties")
    for name, value in properties.items():
        ET.SubElement(listed, "property", {"name": _clean(name), "value": _clean(value)})
    for case, kind in zip(cases, elements, strict=True):
        named = {"name": _clean(case.name), "classname": _clean(case.subject)}
        element = ET.SubElement(group, "testcase", named)
        text = f"{case.verdict or 'not compared'}: {case.text}"
        if kind == "system-out":
            ET.SubElement(element, kind).text = _clean(text)
        else:
            told = {"type": case.verdict or "NOT COMPARED", "message": _clean(text)}
            ET.SubElement(element, kind, told)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, "unicode")}\n'


def _element(case: Case, strict: bool) -> str:
    match case.verdict:
        case "PASS":
            return "system-out"
        case "ERROR":
            return "error"
        case "FAIL":
            return "failure"
        case "INCONCLUSIVE" if strict:
            return "failure"
    return "skipped"


def _clean(text: str) -> str:
    return _NO_CHARACTER.sub(lambda found: ascii(found[0])[1:-1], text)
