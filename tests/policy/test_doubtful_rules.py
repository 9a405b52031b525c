from __future__ import annotations

import pytest


@pytest.fixture
def doubts(compiled):
    """Rules as (match, except); gives (number of the rule, first word of the warning)."""

    def of(*pairs):
        rules = [
            {"name": f"r{number}", "action": "skip", "match": match} | ({"except": excepted} if excepted else {})
            for number, (match, excepted) in enumerate(pairs)
        ]
        return [(problem.field, problem.message.split(":")[0]) for problem in compiled(*rules).warnings]

    return of


REDIS, KAFKA = {"dependencies": ["redis"]}, {"dependencies": ["kafka"]}
UNREACHABLE = [("spec.rules[1]", "unreachable")]


@pytest.mark.parametrize(
    ("first", "second", "warnings"),
    [
        ((REDIS, None), (KAFKA, None), []),
        ((REDIS, None), (REDIS, None), UNREACHABLE),
        (({"dependencies": ["redis", "kafka"]}, None), (KAFKA, None), UNREACHABLE),
        ((KAFKA, None), ({"dependencies": ["redis", "kafka"]}, None), []),
        ((REDIS, None), ({**REDIS, "owners": ["Job"]}, None), UNREACHABLE),
        (({**REDIS, "owners": ["Job"]}, None), (REDIS, None), []),
        ((REDIS, {"namespaces": ["x"]}), (REDIS, None), []),
        ((REDIS, {"namespaces": ["x"]}), (REDIS, {"namespaces": ["x"]}), UNREACHABLE),
        ((REDIS, {"namespaces": ["x"]}), ({**REDIS, "confidence": "certain"}, {"namespaces": ["x"]}), []),
        ((REDIS, None), (REDIS, {"namespaces": ["x"]}), UNREACHABLE),
        ((REDIS, None), ({**REDIS, "confidence": "possible"}, None), []),
        ((REDIS, None), ({**REDIS, "confidence": "certain"}, None), UNREACHABLE),
        (({"namespaces": ["team-*"]}, None), ({"namespaces": ["team-a"]}, None), UNREACHABLE),
        (({"namespaces": ["team-*"]}, None), ({"namespaces": ["team-a-*"]}, None), UNREACHABLE),
        (({"namespaces": ["team-?"]}, None), ({"namespaces": ["team-*"]}, None), []),
        (({"namespaces": ["*a*"]}, None), ({"namespaces": ["[ab]"]}, None), []),
        (({"owners": ["Job"]}, None), ({"owners": ["Job/x-*"]}, None), UNREACHABLE),
        (({"owners": ["Job/x-*"]}, None), ({"owners": ["Job"]}, None), []),
        (({"when": "true"}, None), ({"when": "true"}, None), UNREACHABLE),
        (({"when": "true"}, None), ({"when": "false"}, None), []),
    ],
)
def test_a_rule_behind_a_wider_one_is_called_unreachable(doubts, first, second, warnings):
    assert doubts(first, second) == warnings


def test_a_rule_for_every_pod_is_doubted_unless_it_is_the_last(doubts):
    assert doubts((REDIS, None), ({}, None)) == []
    assert doubts(({}, None), (REDIS, None)) == [
        ("spec.rules[0].match", "matches every pod, so no later rule is ever evaluated"),
        ("spec.rules[1]", "unreachable"),
    ]


def test_a_confidence_alone_does_not_narrow_a_rule(doubts):
    assert ("spec.rules[0].match", "matches every pod, so no later rule is ever evaluated") in doubts(
        ({"confidence": "certain"}, None), (REDIS, None)
    )
