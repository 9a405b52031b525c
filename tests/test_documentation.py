"""What the pages say beside their commands, held against what there is."""

import importlib.util
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from webhook.core.verdict import Outcome
from webhook.decision.conformance import Contradiction
from webhook.decision.drift import Drift

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
ALERTS = yaml.safe_load((ROOT / "charts/sidecar-policy/files/alerts.yaml").read_text())["groups"][0]["rules"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_told_of_the_policy_file_is_what_make_docs_writes():
    assert [path for path, text in reference().written().items() if path.read_text() != text] == []


def test_the_reference_has_every_field_of_the_policy():
    page = (ROOT / "docs/policy.md").read_text()
    models = json.loads((ROOT / "docs/policy-schema.json").read_text())["$defs"]
    fields = {name for title, model in models.items() if title != "KnownKinds" for name in model.get("properties", ())}

    assert [name for name in fields if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page):
    lost = []
    for target in LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)

    assert lost == []


def test_every_alert_has_its_runbook_entry():
    named = {one["annotations"]["runbook"]: one["alert"].lower() for one in ALERTS}

    assert list(named) == [f"docs/operations.md#{anchor}" for anchor in named.values()]
    assert set(named.values()) <= anchors(ROOT / "docs/operations.md")


@pytest.mark.parametrize("code", [one.code for one in (*Drift, *Contradiction)])
def test_every_code_that_people_meet_is_explained(code):
    assert f"`{code}`" in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize("picture", ["architecture", "connections"])
def test_a_picture_is_well_formed(picture):
    ET.parse(ROOT / f"docs/{picture}.svg")


def test_every_outcome_and_every_code_of_a_verdict_is_explained():
    page = (ROOT / "docs/connections.md").read_text()
    written = "".join(path.read_text() for path in (ROOT / "webhook/mesh").glob("*.py"))
    codes = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', written)) & set(
        re.findall(r"^\| `([a-z-]+)`", page, re.MULTILINE)
    )

    assert [outcome for outcome in Outcome if f"| `{outcome}`" not in page] == []
    assert len(codes) >= 14


def test_every_piece_of_configuration_in_the_comparison_is_yaml():
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/comparison.md").read_text(), re.MULTILINE | re.DOTALL)

    assert len(blocks) >= 6
    assert all(list(yaml.safe_load_all(block)) for block in blocks)


def test_the_rights_in_the_security_model_are_all_that_are_shipped():
    roles = "".join(path.read_text() for path in ROOT.glob("charts/sidecar-policy/templates/*role*.yaml"))
    resources = {
        name for names in re.findall(r"^  resources: \[(.*)\]$", roles, re.MULTILINE) for name in names.split(", ")
    }
    assert "secrets" in resources
    page = (ROOT / "docs/security.md").read_text().lower()
    called = {"validatingwebhookconfigurations": "webhook configurations"}

    assert [name for name in resources if called.get(name, name.removesuffix("s")) not in page] == []


def causes(situation, client, backend):
    """What docs/symptoms.md calls the cause of what a driver says: how tests/mesh/bed arranged it."""
    if situation == "http":
        return "A"
    if situation == "http, port excluded at the server":
        return "B"
    if situation == "undeclared":
        return "C" if backend == "mysql" else "B"
    if client == "sidecar":
        return "E"
    return "D" if situation == "tcp, STRICT" else "C"


def test_every_text_that_a_driver_printed_is_among_the_symptoms_with_its_cause():
    rows = re.findall(r"^\| (.*?) +\| (\S+) +\| ([A-E, ]+) +\|$", (ROOT / "docs/symptoms.md").read_text(), re.MULTILINE)
    told = {(text.replace("`", ""), driver, cause) for text, driver, many in rows for cause in many.strip().split(", ")}
    recorded = yaml.safe_load((ROOT / "tests/mesh/drivers.yaml").read_text())["drivers"]
    seen = {
        (" ".join(line.strip() for line in text.splitlines()), driver, causes(situation, client, one["backend"]))
        for driver, one in recorded.items()
        for situation, outcomes in one["outcomes"].items()
        for client, outcome in outcomes.items()
        if outcome != "works"
        for kind, found in outcome.items()
        for text in (found if kind == "varies" else [found])
    }

    assert len(seen) > 30
    assert told == seen
