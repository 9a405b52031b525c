"""Eight broken applications, looked at by diagnose and by istioctl: docs/diagnose.md has a table of what each finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from product import CONFIGURATION

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
PAGE = Path(__file__).parents[2] / "docs" / "diagnose.md"
ISTIOS_OWN = "istio-sidecar-injector"


@pytest.fixture(scope="module")
def applied(istio):
    """Each application in a namespace that is named after it."""
    configurations = []
    for path in BROKEN:
        # Names of namespaces are all that is written otherwise than in the file.
        text = re.sub(r"\bshop\b(?!/)", f"broken-{path.stem}", path.read_text())
        documents = list(yaml.safe_load_all(text))
        for document in sorted(documents, key=lambda one: one["kind"] != "Namespace"):
            if document["kind"] == "MutatingWebhookConfiguration":
                if document["metadata"]["name"] == ISTIOS_OWN:
                    continue
                configurations.append(document["metadata"]["name"])
            istio.api.apply(document)
    yield configurations
    for one in istio.api.list(CONFIGURATION):
        if one["metadata"]["name"].removeprefix("0-") in configurations:
            istio.api.delete(CONFIGURATION, one["metadata"]["name"])


def told(text, code, configurations):
    """The application that a finding is about, by the name of its namespace or of its own webhook configuration."""
    found = re.search(r"broken-([a-z-]+)", text)
    if found is not None:
        return found[1]
    return "webhook-order" if "sidecar-policy" in configurations and code == "webhook-order" else None


@pytest.fixture(scope="module")
def diagnose(run, applied):
    """What diagnose finds, with the application that it is about."""

    def diagnose():
        ended = run("sidecar-policy diagnose --live -o json")
        found = [(told(json.dumps(one["object"]), one["code"], applied), one) for one in json.loads(ended.stdout)]
        return [(name, one) for name, one in found if name and one["severity"] != "info"]

    return diagnose


@pytest.fixture(scope="module")
def diagnosed(diagnose):
    return diagnose()


@pytest.fixture(scope="module")
def analyzed(run, applied):
    """What istioctl finds, with the application that it is about."""
    ended = run("istioctl analyze -A -o json")
    found = [(told(one["origin"] + json.dumps(one["message"]), "", applied), one) for one in json.loads(ended.stdout)]
    return [(name, one) for name, one in found if name]


def documented():
    """The table: for each application what either finds."""
    rows = re.findall(r"^\| `([a-z-]+)` +\|[^|]*\|([^|]*)\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    return {name: tuple(set(re.findall(r"`([^`]+)`", cell)) for cell in cells) for name, *cells in rows}


def test_the_table_says_of_each_application_what_either_finds(diagnosed, analyzed):
    found = {path.stem: (set(), set()) for path in BROKEN}
    for number, findings in enumerate((diagnosed, analyzed)):
        for name, one in findings:
            found[name][number].add(one["code"])

    assert len(found) == 8
    assert documented() == found


def test_the_commands_mend_what_they_are_for(diagnosed, diagnose, run):
    left = diagnosed
    for _ in range(2):  # a connection that is mended may still start too early
        for _, one in left:
            if one["fix"]["command"] is not None:
                ended = run(f"set -o pipefail; {one['fix']['command']}")
                assert ended.returncode == 0, ended.stderr
        left = diagnose()

    assert [one["code"] for _, one in left] == [one["code"] for _, one in diagnosed if one["fix"]["command"] is None]
