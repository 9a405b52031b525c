from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.core.decision import Action
from webhook.core.ruling import Ruling
from webhook.policy.match import Subject

KINDS = ["kafka", "mssql", "rabbitmq", "redis"]
NAMES = st.text("ab-", min_size=1, max_size=3)
GLOBS = st.lists(st.text("ab*?", min_size=1, max_size=3), min_size=1, max_size=2)
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b"]), min_size=1)
SELECTORS = st.fixed_dictionaries({"matchLabels": LABELS}) | st.fixed_dictionaries(
    {
        "matchExpressions": st.lists(
            st.fixed_dictionaries(
                {"key": st.sampled_from(["app", "tier"]), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
            )
            | st.fixed_dictionaries(
                {
                    "key": st.sampled_from(["app", "tier"]),
                    "operator": st.sampled_from(["In", "NotIn"]),
                    "values": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
                }
            ),
            min_size=1,
            max_size=2,
        )
    }
)
CRITERIA = {
    "namespaces": GLOBS,
    "namespaceLabels": SELECTORS,
    "labels": SELECTORS,
    "annotations": SELECTORS,
    "owners": st.lists(st.sampled_from(["Job", "Deployment", "Job/a*", "Deployment/b"]), min_size=1, max_size=2),
    "serviceAccounts": GLOBS,
    "images": GLOBS,
    "dependencies": st.lists(st.sampled_from(KINDS), min_size=1, max_size=2),
    "serves": st.lists(st.sampled_from(KINDS), min_size=1, max_size=2),
    "confidence": st.sampled_from(["possible", "probable", "certain"]),
    "when": st.sampled_from(
        ["namespace.name == 'a'", "pod.spec.x == 1", "'redis' in dependencies", "dyn(owner.kind)", "true"]
    ),
}


def some(fields, least=0):
    return st.sets(st.sampled_from(sorted(fields)), min_size=least, max_size=3).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in sorted(names)})
    )


RULES = st.lists(
    st.fixed_dictionaries(
        {"match": some(CRITERIA), "action": st.sampled_from(["inherit", "skip", "inject", "bypass"])},
        optional={"except": some({k: v for k, v in CRITERIA.items() if k != "confidence"}, least=1)},
    ),
    max_size=8,
).map(lambda rules: [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)])
PODS = st.fixed_dictionaries(
    {},
    optional={
        "namespace": NAMES,
        "namespace_labels": LABELS,
        "labels": LABELS,
        "annotations": LABELS,
        "owners": st.lists(st.sampled_from(["Job/a", "Job/b", "Deployment/b", "Deployment/c"]), max_size=2),
        "service_account": NAMES,
        "images": st.lists(NAMES | st.none(), max_size=3),
        "dependencies": st.lists(
            st.tuples(st.sampled_from(KINDS), st.sampled_from(["possible", "probable", "certain"])), max_size=3
        ),
        "serves": st.lists(st.sampled_from(KINDS), max_size=2),
    },
)


@settings(max_examples=300)
@given(rules=RULES, pod=PODS)
def test_the_index_gives_the_ruling_of_asking_every_rule_in_order(compiled, facts_of, rules, pod):
    policy = compiled(*rules)
    facts = facts_of(**pod)
    subject = Subject(facts)
    in_order = next(filter(None, (rule.ruling(subject) for rule in policy.rules)), None)
    ruling = policy.ruling(facts)

    assert ruling.rule == (in_order.rule if in_order else None)
    assert ruling.dependencies == (in_order.dependencies if in_order else subject.dependencies(policy.min_confidence))


@given(rules=RULES, pod=PODS, default=st.sampled_from(["inherit", "skip", "inject"]))
def test_a_policy_that_validates_has_a_ruling_for_any_pod(compiled, facts_of, rules, pod, default):
    ruling = compiled(*rules, default=default).ruling(facts_of(**pod))

    assert isinstance(ruling, Ruling)
    assert ruling.action in set(Action)
    assert (ruling.rule is None) == (ruling.matched == ())


@settings(max_examples=300)
@given(rules=RULES, pod=PODS)
def test_a_rule_that_is_called_unreachable_never_decides(compiled, facts_of, rules, pod):
    policy = compiled(*rules)
    unreachable = {
        int(problem.field.split("[")[1].rstrip("]")) for problem in policy.warnings if "unreachable" in problem.message
    }
    ruling = policy.ruling(facts_of(**pod))

    assert ruling.rule not in {f"r{number}" for number in unreachable}


@pytest.mark.parametrize("others", [0, 200])
def test_rules_that_cannot_match_are_not_asked(compiled, facts_of, others):
    asked = []
    documents = [
        {"dependencies": ["kafka"]},
        {"serves": ["kafka"]},
        {"owners": ["Job"]},
        {"namespaces": ["team-*"]},
        {"namespaces": ["team"]},
        {"serviceAccounts": ["x*"]},
        {"images": ["*/x/*"]},
        {"labels": {"matchLabels": {"app": "x"}}},
        {"namespaceLabels": {"matchLabels": {"team": "x"}}},
        {"annotations": {"matchLabels": {"tier": "x"}}},
    ]
    rules = [{"name": f"r{n}", "action": "skip", "match": documents[n % len(documents)]} for n in range(others)]
    policy = compiled(*rules, {"name": "last", "action": "skip", "match": {"dependencies": ["redis"]}})
    facts = facts_of(dependencies=["redis"], labels={"app": "web"}, owners=["Deployment/web"])
    asked = list(policy._index.candidates(facts))

    assert asked == [others]
