from __future__ import annotations

import pytest

from webhook.kubernetes.labels import Requirement, Selector


@pytest.mark.parametrize(
    ("operator", "values", "labels", "holds"),
    [
        ("In", {"edge", "front"}, {"tier": "edge"}, True),
        ("In", {"edge", "front"}, {"tier": "back"}, False),
        ("In", {"edge"}, {}, False),
        ("NotIn", {"edge"}, {"tier": "back"}, True),
        ("NotIn", {"edge"}, {"tier": "edge"}, False),
        ("NotIn", {"edge"}, {}, True),
        ("Exists", set(), {"tier": ""}, True),
        ("Exists", set(), {}, False),
        ("DoesNotExist", set(), {}, True),
        ("DoesNotExist", set(), {"tier": "edge"}, False),
    ],
)
def test_each_operator_holds_as_kubernetes_defines_it(operator, values, labels, holds):
    assert Requirement("tier", operator, frozenset(values)).holds(labels) is holds


def test_all_requirements_of_a_selector_must_hold():
    selector = Selector((Requirement("app", "In", frozenset({"web"})), Requirement("canary", "DoesNotExist")))

    assert selector.holds({"app": "web"})
    assert not selector.holds({"app": "web", "canary": "yes"})


def test_a_selector_reads_as_kubectl_writes_it():
    requirements = (
        Requirement("app", "In", frozenset({"web"})),
        Requirement("tier", "NotIn", frozenset({"back", "api"})),
        Requirement("team", "Exists"),
        Requirement("canary", "DoesNotExist"),
    )

    assert str(Selector(requirements)) == "app=web,tier notin (api,back),team,!canary"
