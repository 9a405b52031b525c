from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.policy.glob import GlobError, matcher, pattern


@pytest.mark.parametrize(
    ("glob", "text", "matches"),
    [
        ("payments", "payments", True),
        ("payments", "payments-eu", False),
        ("payments-*", "payments-eu", True),
        ("payments-*", "payments-", True),
        ("payments-*", "my-payments-eu", False),
        ("*", "", True),
        ("**", "anything", True),
        ("team-?", "team-a", True),
        ("team-?", "team-ab", False),
        ("team-[ab]", "team-b", True),
        ("team-[ab]", "team-c", False),
        ("team-[a-c]", "team-b", True),
        ("team-[!a-c]", "team-b", False),
        ("team-[!a-c]", "team-z", True),
        ("*/legacy/*", "registry.example:5000/shop/legacy/web:1", True),
        ("*/legacy/*", "registry.example/legacyweb:1", False),
        ("web.v1", "webxv1", False),
        ("Web", "web", False),
        ("a+b", "a+b", True),
        ("a+b*", "aab", False),
        ("a*", "a\nb", True),
        ("x[\\^]", "x^", True),
    ],
)
def test_a_glob_matches_the_whole_text_case_sensitively(glob, text, matches):
    assert matcher([glob])(text) is matches


@pytest.mark.parametrize(
    ("glob", "fault"),
    [
        ("", "empty glob"),
        (" web", "spaces around"),
        ("web-[ab", "character 5 is not closed"),
        ("web-[]", "without characters"),
        ("web-[z-a]", "runs backwards"),
    ],
)
def test_a_bad_glob_says_what_is_wrong(glob, fault):
    with pytest.raises(GlobError, match=fault):
        pattern(glob)


def test_no_globs_match_nothing():
    assert not matcher([])("")


@given(glob=st.text("ab-*?/", min_size=1, max_size=8), text=st.text("ab-/", max_size=8))
def test_stars_and_question_marks_mean_what_they_mean_to_a_shell(glob, text):
    assert matcher([glob])(text) == fnmatch.fnmatchcase(text, glob)
