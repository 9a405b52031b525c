"""Ways of reading that are quicker say the same as those that they spare."""

from __future__ import annotations

import json
import string

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from webhook import yamltext, yamlvalues
from webhook.detection import files
from webhook.detection.files import read_file

_texts = st.text(string.ascii_letters + string.digits + " .:/@$-_", max_size=30)
_keys = st.text(string.ascii_letters + "._-", min_size=1, max_size=12)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts
_nested = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4))
_documents = st.dictionaries(_keys, _nested, min_size=1, max_size=5) | st.lists(_nested, min_size=1, max_size=4)


@given(_documents, st.sampled_from([None, 1, 4]))
def test_json_says_the_same_as_when_it_is_read_as_yaml(document, indent):
    text = json.dumps(document, indent=indent)
    lines = read_file(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_JSON_OPENERS", ())
        assert read_file(text) == lines


@pytest.mark.parametrize(
    "text",
    [
        '{\n  // which cache\n  "host": "data",\n}',
        '{\n  "host": "data",\n}',
        "{host: data}",
        '[cache]\nhost = "data"\n',
        "{{ template }}\nhost: data\n",
    ],
)
def test_what_only_looks_like_json_is_read_all_the_same(text):
    assert [line.value.word for line in read_file(text) if line.path[-1:] == ("host",)] == ["data"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"host": "\ud800"}'], ids=["nested without end", "no Unicode"])
def test_what_is_no_json_does_no_harm(text):
    assert read_file(text) == ()


_yaml_texts = (
    st.text("-?:[]{}, \nab&!*|>'\"#", max_size=60) | _documents.map(yaml.safe_dump) | _documents.map(json.dumps)
)


@given(_yaml_texts)
@example("- - - - a: b")
@example("[a: [b: [c: [d: e]]]]")
@example("? ? ? a")
@example("a:\n- b:\n  - c:\n    - d:\n      - e")
@example("? - ? - a\n  : - b")
def test_no_text_has_more_levels_than_its_characters_allow(text):
    depth, deepest = 0, 0
    try:
        for event in yaml.parse(text, Loader=yamlvalues.FastLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            deepest = max(deepest, depth)
    except yaml.YAMLError:
        pass

    assert deepest <= yamltext._most_levels(text)


class Plain(yaml.SafeLoader):
    """What `AsText` resolves, made into values by PyYAML's own ways."""

    yaml_implicit_resolvers = yamlvalues.AsText.yaml_implicit_resolvers


@given(_documents, st.booleans(), st.integers(0, 3))
def test_yaml_is_made_into_the_values_that_its_own_loader_makes(document, flow, shared):
    text = yaml.safe_dump([document, *[document] * shared], default_flow_style=flow)

    (node,) = yamltext.nodes(text, yamltext.CONFIGURATION, yamlvalues.AsText)

    assert yamlvalues.plain(node) == yaml.load(text, Loader=Plain)
