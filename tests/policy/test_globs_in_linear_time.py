from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.policy.glob import matcher

# Each with a text for which a backtracking matcher tries every way to place the stars.
SHAPES = {
    "three inner stars": ("a*a*a*a*b", "a"),
    "ten inner stars": ("*a" * 10 + "*b", "a"),
    "pieces that nearly match": ("*aaaaaaaab*aaaaaaaab*c", "a"),
    "question marks": ("*a?a?a?b*a?b*", "a"),
    "sets": ("*[ab][ab][ab]c*[!a]*", "ab"),
    "slashes": ("*/x/*/y/*/z", "/x"),
    "a long piece": (f"*{'ab' * 200}c*d", "ab"),
    "a match at the end": ("*a*b*a*b*a*", "ab"),
    "question marks only at the ends": ("?*?*?*x", "a"),
}


def seconds(matches, text, repeats=1):
    with measured() as work:
        for _ in range(repeats):
            matches(text)
    return work.seconds


@pytest.mark.parametrize("shape", SHAPES)
def test_a_text_of_four_times_the_length_takes_four_times_as_long(shape):
    glob, part = SHAPES[shape]
    matches = matcher([glob])
    short, long = (part * (size // len(part)) for size in (50_000, 200_000))
    repeats = max(1, int(0.02 / max(1e-6, seconds(matches, short))))
    rounds = [(seconds(matches, short, repeats), seconds(matches, long, repeats)) for _ in range(5)]
    once, four_times = map(min, zip(*rounds, strict=True))

    assert four_times < 6.5 * once


@pytest.mark.parametrize("shape", SHAPES)
def test_a_megabyte_takes_less_than_half_a_second(shape):
    glob, part = SHAPES[shape]

    assert seconds(matcher([glob]), part * ((1 << 20) // len(part))) < 0.5


def test_hundreds_of_globs_on_a_megabyte_take_less_than_half_a_second():
    globs = [f"*registry-{number}.example/*/legacy-{number}*:1" for number in range(300)]

    assert seconds(matcher(globs), "registry-1.example/" * ((1 << 20) // 19)) < 0.5


GLOBS = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "/", "."]), min_size=1, max_size=9).map("".join)


@given(glob=GLOBS, text=st.text("ab/.", max_size=12))
def test_a_glob_means_what_it_means_to_a_shell(glob, text):
    assert matcher([glob])(text) == fnmatch.fnmatchcase(text, glob)


@given(globs=st.lists(GLOBS, max_size=6), text=st.text("ab/.", max_size=12))
def test_a_list_of_globs_matches_where_one_of_them_does(globs, text):
    assert matcher(globs)(text) == any(fnmatch.fnmatchcase(text, glob) for glob in globs)
