"""YAML from strangers takes little time, whatever it holds, and one kind of error says what is wrong with it."""

from __future__ import annotations

import contextlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.kubernetes.yaml import ANNOTATION, CONFIGURATION, MANIFESTS, POLICY, LimitError, load

ALL = [ANNOTATION, CONFIGURATION, POLICY, MANIFESTS]


def lists(levels: int, width: int = 8) -> str:
    """Aliases of lists: `width` to the power of `levels` values."""
    text = f"a0: &a0 [{','.join('1' * width)}]\n"
    return text + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * width)}]\n" for n in range(1, levels))


def merges(levels: int, width: int = 9) -> str:
    """The same of merge keys."""
    text = "a0: &a0 {k0: v, k1: v}\n"
    return text + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * width)}], z: v}}\n" for n in range(1, levels))


def chain(levels: int) -> str:
    """A flat text that is nested once its aliases are written out."""
    return "- &a0 [x]\n" + "".join(f"- &a{n} [*a{n - 1}]\n" for n in range(1, levels))


BOMBS = {
    "lists": lists(12),
    "merge keys": merges(8),
    "one merge key after the other": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n}\n  <<: *a{n - 1}\n  <<: *a{n - 1}\n" for n in range(1, 40)),
    "keys": "".join(f"? &a{n} [{','.join([f'*a{n - 1}'] * 9 if n else 'x' * 9)}]\n: v\n" for n in range(8)),
    "a chain": chain(200),
    "itself": "a: &a [*a]",
    "itself by a merge key": "a: &a {<<: *a, b: c}",
    "itself far below": "a: &a {b: [{c: [d, *a]}]}",
    "flow": "[" * 4_000,
    "mappings": "{a: " * 1_000,
    "block": "- " * 4_000 + "x",
    "block with old line breaks": "\r".join(" " * n + "-" for n in range(110)),
    "directives": "".join(f"%TAG !t{n}! x\n" for n in range(400)) + "--- a\n",
}


@pytest.mark.parametrize("limits", ALL, ids=lambda limits: str(limits.characters))
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_what_exceeds_a_limit_is_refused_at_once_with_what_and_how_to_fix_it(text, limits):
    with measured() as work, pytest.raises(LimitError) as caught:
        load(text, limits)

    assert work.seconds < 0.3
    assert caught.value.problem
    assert caught.value.hint
    assert caught.value.line is not None or caught.value.problem.endswith("directives")


@pytest.mark.parametrize("limits", ALL[1:], ids=lambda limits: str(limits.characters))
def test_an_alias_of_a_long_scalar_stands_for_many_values(limits):
    text = f"a: &a {'x' * 40_000}\nb: [" + ",".join(["*a"] * 1_000) + "]"

    with pytest.raises(LimitError, match="expand to more than"):
        load(text, limits)


@pytest.mark.parametrize("limits", ALL[:3], ids=lambda limits: str(limits.characters))
def test_a_text_that_is_too_long_is_not_parsed(limits, monkeypatch):
    monkeypatch.setattr(yaml, "parse", None)
    with pytest.raises(LimitError, match="larger than"):
        load("x" * (limits.characters + 1), limits)


def test_the_worst_text_within_the_limits_of_an_annotation_takes_little_time():
    text = "[" + "1," * (ANNOTATION.characters // 2 - 1) + "]"
    with measured() as work:
        read = load(text, ANNOTATION)

    assert len(read) == ANNOTATION.characters // 2 - 1
    assert work.seconds < 0.3


def test_aliases_within_the_limit_stand_for_what_their_anchors_hold_and_share_nothing():
    a, b = load("[&a {x: [1]}, *a]", ANNOTATION)

    assert a == b == {"x": [1]}
    assert a is not b
    assert a["x"] is not b["x"]


def test_the_aliases_of_all_documents_count_together():
    text = "".join(f"---\n{lists(4)}" for _ in range(30))

    with pytest.raises(LimitError, match="expand to more than"):
        load(text, MANIFESTS)


def test_merge_keys_mean_what_they_mean_to_pyyaml():
    text = "- &a {x: 1, y: 2}\n- &b {x: 3, z: 4}\n- {<<: *a, x: 5}\n- {y: 6, <<: [*a, *b]}\n- {<<: *a, <<: *b}\n"

    ours, theirs = load(text, ANNOTATION), yaml.safe_load(text)

    assert ours == theirs
    assert [list(one) for one in ours] == [list(one) for one in theirs]


SCALARS = {
    "a sexagesimal number": "1" + ":59" * 2_000,
    "a sexagesimal fraction": "1" + ":59" * 2_000 + ".5",
    "a long integer": "7" * 5_000,
    "a long hexadecimal integer": "0x" + "f" * 4_000,
    "a long fraction": "0." + "7" * 5_000,
    "a date that is none": "2026-13-40",
}


@pytest.mark.parametrize("text", SCALARS.values(), ids=SCALARS.keys())
def test_a_scalar_is_a_value_that_json_has_or_an_error_of_yaml(text):
    value = None
    with measured() as work, contextlib.suppress(yaml.YAMLError):
        value = load(text, ANNOTATION)

    assert work.seconds < 0.05
    assert len(json.dumps(value)) < 10_000
    assert yaml.safe_dump(value)


@pytest.mark.parametrize(
    "kind", ["int", "float", "bool", "timestamp", "binary", "set", "omap", "pairs", "python/name:os"]
)
@pytest.mark.parametrize("text", ['""', "x", "0x", "1:59", "[a]", "{a: b}", "2001-12-14t21:59:43.10-99:99", "9e999"])
def test_a_tag_that_its_value_does_not_fit_is_an_error_of_yaml(kind, text):
    value = None
    with contextlib.suppress(yaml.YAMLError):
        value = load(f"!!{kind} {text}", ANNOTATION)

    assert isinstance(value, int | float | None)


@given(st.text("-?:[]{}, \n\rab&*|>'\"#!%<0x17._~\ud800\x00", max_size=60))
def test_no_text_at_all_raises_anything_else(text):
    with contextlib.suppress(yaml.YAMLError):
        load(text, ANNOTATION)


@pytest.mark.parametrize(("number", "value"), [("0x1F", 31), ("017", 15), ("0o17", 15), ("1_000", 1000), ("-5", -5)])
def test_integers_are_read_as_before(number, value):
    assert load(number, ANNOTATION) == value


def test_an_integer_over_64_bits_becomes_a_float():
    assert load(str(2**64 - 1), ANNOTATION) == 2**64 - 1
    assert load(str(2**128), ANNOTATION) == pytest.approx(2.0**128)


@pytest.mark.parametrize("start", ["\ufeff", "\ufeff\ufeff", "a\n--- \n\ufeff", "\n\ufeff"])
@pytest.mark.parametrize("unit", ["- ", "? ", "a:\n ", "["])
def test_a_byte_order_mark_hides_no_nesting(start, unit):
    with pytest.raises(yaml.YAMLError):
        load(start + unit * 40_000 + "x", CONFIGURATION)


@pytest.mark.parametrize("start", ["", "\ufeff", "a\n...\n"])
def test_a_tag_directive_does_not_multiply_its_prefix(start):
    text = start + "%TAG ! tag:" + "x" * 50_000 + "\n---\n[" + "!b," * 16_000 + "]\n"

    with pytest.raises(LimitError, match="%TAG"):
        load(text, CONFIGURATION)
