from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from webhook.detection.catalog import Catalog
from webhook.policy.load import default_policy
from webhook.policy.schema import json_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "policy-schema.json"


@pytest.fixture(scope="module")
def schema():
    return json_schema(Catalog.default().kinds)


def test_the_published_schema_is_the_one_of_the_models(schema):
    assert json.loads(PUBLISHED.read_text()) == schema, "write it with: sidecar-policy validate --schema"


def test_the_schema_is_itself_valid(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_field_has_a_description(schema):
    undescribed = [
        f"{name}.{field}"
        for name, part in schema["$defs"].items()
        for field, its in part.get("properties", {}).items()
        if not its.get("description")
    ]

    assert undescribed == []


@pytest.mark.parametrize("spoil", [{"rule": 1}, {"mode": None}, {"default": "bypass"}, {"rules": [{"name": "a"}]}])
def test_an_editor_with_the_schema_sees_what_validation_sees(schema, spoil):
    document = default_policy().document
    validator = jsonschema.Draft202012Validator(schema)

    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "spec": {**document["spec"], **spoil}})


def test_an_editor_with_the_schema_knows_the_kinds(schema):
    document = json.loads(json.dumps(default_policy().document))
    document["spec"]["rules"][0]["match"]["dependencies"] = ["postgres"]

    assert not jsonschema.Draft202012Validator(schema).is_valid(document)
