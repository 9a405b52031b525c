from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.policy.document import MAX_BYTES, parse, written

JSON_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def messages():
    def of(content):
        return [str(problem) for problem in parse("p.yaml", content).problems]

    return of


def test_every_field_has_the_line_of_its_key_and_every_item_its_own():
    document = parse("p.yaml", b"spec:\n  rules:\n  - name: a\n    match:\n      images:\n      - x\n      - y\n")

    lines = {
        path: document.line(path)
        for path in [
            ("spec",),
            ("spec", "rules"),
            ("spec", "rules", 0),
            ("spec", "rules", 0, "match", "images"),
            ("spec", "rules", 0, "match", "images", 1),
        ]
    }

    assert list(lines.values()) == [1, 2, 3, 5, 7]


def test_a_field_that_is_absent_has_the_line_of_its_parent():
    document = parse("p.yaml", b"metadata: {}\nspec:\n  rules: []\n")

    assert document.line(("spec", "rules", 4, "name")) == 3


def test_a_path_is_written_as_people_write_it():
    assert written(("spec", "rules", 2, "match", "images", 0)) == "spec.rules[2].match.images[0]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "p.yaml:4: error: b.c: duplicate key, first on line 3 (remove one of the two)"),
        (b"a: 1\n---\na: 2\n", "p.yaml:3: error: a second document in the file (give each document its own file)"),
        (b"a:\n\t- b\n", "cannot start any token (YAML does not allow tabs for indentation)"),
        (b"a: [1\n", "p.yaml:2: error: not valid YAML"),
        (b"a: 1\nb: '\x01'\n", "p.yaml:2: error: not valid YAML: a control character (remove it)"),
        (b"a: 1\nb: \xff\n", "p.yaml:2: error: not UTF-8 (save the file as UTF-8)"),
        (b"a: !env X\n", "p.yaml:1: error: a: unsupported tag !env (remove it)"),
        (b"a: *b\n", "p.yaml:1: error: a: alias *b has no anchor &b before it"),
        (b"a: &a [*a]\n", "p.yaml:1: error: a[0]: alias *a has no anchor &a before it"),
        (b"[1]: 2\n", "p.yaml:1: error: a key must be a string"),
        (b"a: !!int x\n", "p.yaml:1: error: a: not a valid int"),
        (b"#" * (MAX_BYTES + 1), "p.yaml: error: larger than 1 MiB"),
        (b"[" * 5000 + b"]" * 5000, "p.yaml:1: error: nested deeper than 64 levels"),
    ],
)
def test_what_the_yaml_has_wrong_is_told_with_its_line(messages, content, message):
    assert any(message in line for line in messages(content)), messages(content)


def test_aliases_that_blow_up_are_refused_before_they_do(messages):
    layers = [b"l0: &l0 [" + b"x, " * 9 + b"x]"]
    layers += [b"l%d: &l%d [" % (n, n) + b"*l%d, " % (n - 1) * 9 + b"*l%d]" % (n - 1) for n in range(1, 12)]

    assert [line.rpartition("error: ")[2] for line in messages(b"\n".join(layers))] == [
        "more than 100000 values, aliases written out"
    ]


def test_an_alias_stands_for_what_its_anchor_holds():
    assert parse("p.yaml", b"a: &x [1, 2]\nb: *x\n").value == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"---\n---\n"])
def test_a_file_without_content_is_nothing_and_no_yaml_problem(content):
    document = parse("p.yaml", content)

    assert (document.value, document.problems) == (None, ())


def test_json_with_tabs_is_read():
    assert parse("p.json", b'{\n\t"a": [\n\t\t1\n\t]\n}').value == {"a": [1]}


def test_dates_stay_the_text_that_they_are_in_a_policy():
    assert parse("p.yaml", b"a: 2026-01-01\n").value == {"a": "2026-01-01"}


@given(JSON_VALUES)
def test_any_json_comes_back_as_it_was(value):
    assert parse("p.json", json.dumps(value, ensure_ascii=False).encode()).value == value


@given(JSON_VALUES)
def test_any_yaml_comes_back_as_it_was(value):
    assert parse("p.yaml", yaml.safe_dump(value, allow_unicode=True).encode()).value == value


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_raise(content):
    document = parse("p.yaml", content)

    assert document.value is None or not document.problems
