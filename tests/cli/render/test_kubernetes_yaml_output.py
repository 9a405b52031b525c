import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.cli.render.kubernetes_yaml import dump

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(TEXT, VALUES, max_size=3), max_size=3))
def test_what_is_written_reads_back_as_it_was(documents):
    assert list(yaml.safe_load_all(dump(documents))) == documents


# Each of these is something else than a string to some YAML parser that Kubernetes tools use.
MISREAD = "y N yes on true null ~ 1e5 12e03456 089 0o17 1_000 .5 +1 0x1F 2024-01-01 12:30:45 .inf 1.20 = <<"


@pytest.mark.parametrize("text", ["", *MISREAD.split()])
def test_strings_that_another_parser_would_misread_are_quoted(text):
    written = dump([{"value": text}]).removeprefix("value: ").rstrip("\n")

    assert written[0] in "'\""


@pytest.mark.parametrize("text", ["webmvc", "--verbose", "http://basket-api:81", "yonder", "a.b/c", "no-cache"])
def test_ordinary_strings_are_not_quoted_without_need(text):
    assert dump([{"value": text}]) == f"value: {text}\n"


def test_long_texts_stay_readable():
    assert dump([{"envoy.yaml": "admin:\n  port: 1\n"}]) == "envoy.yaml: |\n  admin:\n    port: 1\n"


def test_long_lines_are_not_folded():
    line = "word " * 60 + "end"

    assert dump([{"value": line}]) == f"value: {line}\n"


def test_a_value_that_occurs_twice_is_written_twice():
    labels = {"app": "webmvc"}

    assert dump([{"a": labels, "b": labels}]) == "a:\n  app: webmvc\nb:\n  app: webmvc\n"


def test_documents_keep_their_order_and_keys_keep_theirs():
    assert dump([{"kind": "B", "apiVersion": "v1"}, {"kind": "A"}]) == "kind: B\napiVersion: v1\n---\nkind: A\n"


def test_numbers_and_booleans_stay_what_they_are():
    assert dump([{"port": 80, "ratio": 0.5, "on": True, "none": None}]) == (
        "port: 80\nratio: 0.5\n'on': true\nnone: null\n"
    )
