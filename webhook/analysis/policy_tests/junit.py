"""Render the results of policy tests as JUnit XML for CI systems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, tostring

from webhook.analysis.policy_tests.runner import Outcome

# XML 1.0 cannot represent these, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Iterable[Outcome]) -> bytes:
    """Render the outcomes as one XML document, with a test suite for each file."""
    root = Element("testsuites")
    for file, group in groupby(outcomes, key=lambda outcome: outcome.file):
        cases = list(group)
        failures = sum(bool(case.differences) for case in cases)
        suite = SubElement(root, "testsuite", name=_text(file), tests=str(len(cases)), failures=str(failures))
        for case in cases:
            names = {"name": _text(case.name), "classname": _text(file), "file": _text(file), "line": str(case.line)}
            element = SubElement(suite, "testcase", names)
            if case.differences:
                differences = [_text(str(difference)) for difference in case.differences]
                failure = SubElement(element, "failure", message="; ".join(differences))
                failure.text = "\n".join((*differences, *map(_text, case.evidence)))
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _text(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
