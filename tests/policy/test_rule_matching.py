from __future__ import annotations

import pytest

from webhook.core.decision import Action, Confidence, Mode


@pytest.mark.parametrize(
    ("match", "pod", "phrases"),
    [
        ({}, {}, ("every pod",)),
        ({"namespaces": ["shop", "x"]}, {}, ("namespace shop",)),
        ({"namespaces": ["sh*"]}, {}, ("namespace shop",)),
        ({"namespaces": ["x"]}, {}, None),
        (
            {"namespaceLabels": {"matchLabels": {"team": "a"}}},
            {"namespace_labels": {"team": "a"}},
            ("namespace labels team=a",),
        ),
        ({"namespaceLabels": {"matchLabels": {"team": "a"}}}, {"labels": {"team": "a"}}, None),
        ({"labels": {"matchLabels": {"app": "web"}}}, {"labels": {"app": "web"}}, ("labels app=web",)),
        ({"labels": {"matchLabels": {"app": "web", "tier": "x"}}}, {"labels": {"app": "web"}}, None),
        ({"labels": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}}, {}, ("labels !a",)),
        (
            {"annotations": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            {"annotations": {"a": ""}},
            ("annotations a",),
        ),
        ({"annotations": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}, {"labels": {"a": ""}}, None),
        ({"owners": ["Job"]}, {"owners": ["Job/backup"]}, ("owner Job/backup",)),
        ({"owners": ["CronJob"]}, {"owners": ["Job/backup-29000000", "CronJob/backup"]}, ("owner CronJob/backup",)),
        ({"owners": ["Job/back*"]}, {"owners": ["Job/backup"]}, ("owner Job/backup",)),
        ({"owners": ["Job/x*"]}, {"owners": ["Job/backup"]}, None),
        ({"owners": ["Job"]}, {"owners": ["Deployment/Job"]}, None),
        ({"owners": ["Job"]}, {}, None),
        ({"serviceAccounts": ["default"]}, {}, ("service account default",)),
        ({"serviceAccounts": ["ci-*"]}, {"service_account": "ci-runner"}, ("service account ci-runner",)),
        ({"serviceAccounts": ["ci-*"]}, {}, None),
        ({"images": ["*/shop/*"]}, {"images": ["a/b", "r.example/shop/web:1"]}, ("image r.example/shop/web:1",)),
        ({"images": ["*/legacy/*"]}, {}, None),
        ({"images": ["*"]}, {"images": [None]}, None),
        ({"dependencies": ["redis", "kafka"]}, {"dependencies": ["redis", "mssql"]}, ("dependency redis",)),
        (
            {"dependencies": ["redis", "kafka"]},
            {"dependencies": ["kafka", "redis", "redis"]},
            ("dependency kafka", "dependency redis"),
        ),
        ({"dependencies": ["redis"]}, {"serves": ["redis"]}, None),
        ({"serves": ["redis"]}, {"serves": ["redis"]}, ("serves redis",)),
        ({"serves": ["redis"]}, {"dependencies": ["redis"]}, None),
        ({"dependencies": ["redis"]}, {"dependencies": [("redis", "possible")]}, None),
        ({"dependencies": ["redis"]}, {"dependencies": [("redis", "probable")]}, ("dependency redis",)),
        (
            {"dependencies": ["redis"], "confidence": "possible"},
            {"dependencies": [("redis", "possible")]},
            ("dependency redis",),
        ),
        ({"dependencies": ["redis"], "confidence": "certain"}, {"dependencies": [("redis", "probable")]}, None),
        ({"when": "namespace.name == 'shop'"}, {}, ("its CEL expression",)),
        ({"when": "'redis' in dependencies"}, {"dependencies": [("redis", "possible")]}, None),
        (
            {"when": "'redis' in dependencies", "confidence": "possible"},
            {"dependencies": [("redis", "possible")]},
            ("its CEL expression",),
        ),
        ({"when": "owner.kind == ''"}, {}, ("its CEL expression",)),
        ({"when": "namespace.labels.team == 'a'"}, {"namespace_labels": {"team": "a"}}, ("its CEL expression",)),
        ({"namespaces": ["shop"], "owners": ["Job"]}, {"owners": ["Job/a"]}, ("namespace shop", "owner Job/a")),
        ({"namespaces": ["shop"], "owners": ["Job"]}, {"owners": ["Deployment/a"]}, None),
    ],
)
def test_a_rule_matches_when_all_its_fields_hold_and_says_why(compiled, facts_of, match, pod, phrases):
    ruling = compiled({"name": "r", "action": "skip", "match": match}).ruling(facts_of(**pod))

    assert (ruling.rule, ruling.matched) == (("r", phrases) if phrases else (None, ()))


@pytest.mark.parametrize(
    ("excepted", "pod", "rule"),
    [
        ({"namespaces": ["shop"]}, {}, None),
        ({"namespaces": ["x"]}, {}, "r"),
        ({"namespaces": ["shop"], "owners": ["Job"]}, {}, "r"),
        ({"namespaces": ["shop"], "owners": ["Job"]}, {"owners": ["Job/a"]}, None),
        ({"dependencies": ["kafka"]}, {"dependencies": [("kafka", "possible")]}, "r"),
        ({"dependencies": ["kafka"], "confidence": "possible"}, {"dependencies": [("kafka", "possible")]}, None),
        ({"when": "pod.nothing"}, {}, "r"),
    ],
)
def test_except_excludes_when_all_its_fields_hold(compiled, facts_of, excepted, pod, rule):
    policy = compiled({"name": "r", "action": "skip", "except": excepted})

    assert policy.ruling(facts_of(**pod)).rule == rule


def test_the_first_rule_that_matches_decides(compiled, facts_of):
    policy = compiled(
        {"name": "other", "action": "skip", "match": {"namespaces": ["x"]}},
        {"name": "first", "action": "inject", "match": {"namespaces": ["shop"]}},
        {"name": "second", "action": "skip", "match": {"namespaces": ["s*"]}},
    )

    assert policy.ruling(facts_of()).rule == "first"


@pytest.mark.parametrize("default", ["inherit", "skip", "inject"])
def test_the_default_holds_where_no_rule_matches(compiled, facts_of, default):
    ruling = compiled({"name": "r", "action": "skip", "match": {"namespaces": ["x"]}}, default=default).ruling(
        facts_of()
    )

    assert (ruling.rule, ruling.action.value) == (None, default)


@pytest.mark.parametrize(
    ("policy_mode", "rule_mode", "mode"),
    [
        ("enforce", "enforce", Mode.ENFORCE),
        ("enforce", "audit", Mode.AUDIT),
        ("audit", "enforce", Mode.AUDIT),
        ("audit", "audit", Mode.AUDIT),
    ],
)
def test_a_ruling_is_audit_if_the_policy_or_the_rule_says_so(compiled, facts_of, policy_mode, rule_mode, mode):
    policy = compiled({"name": "r", "action": "skip", "mode": rule_mode}, mode=policy_mode)

    assert policy.ruling(facts_of()).mode is mode


@pytest.mark.parametrize(("ports", "fixed"), [("detected", None), (None, None), ([6379, 5672, 6379], (5672, 6379))])
def test_bypass_takes_its_own_ports_or_those_of_the_dependencies(compiled, facts_of, ports, fixed):
    rule = {"name": "r", "action": "bypass", "hold": True} | ({"ports": ports} if ports else {})
    ruling = compiled(rule).ruling(facts_of())

    assert (ruling.ports, ruling.hold) == (fixed, True)


@pytest.mark.parametrize(
    ("match", "seen"),
    [
        ({"dependencies": ["redis"]}, ["redis"]),
        ({}, ["redis", "kafka"]),
        ({"confidence": "certain"}, ["redis"]),
        ({"confidence": "possible"}, ["redis", "kafka", "mssql"]),
    ],
)
def test_a_ruling_holds_the_dependencies_that_the_rule_is_about(compiled, facts_of, match, seen):
    facts = facts_of(dependencies=["redis", ("kafka", "probable"), ("mssql", "possible")])
    ruling = compiled({"name": "r", "action": "bypass", "match": match}).ruling(facts)

    assert [dependency.kind for dependency in ruling.dependencies] == seen


def test_the_least_confidence_of_the_policy_holds_for_every_rule_without_its_own(compiled, facts_of):
    policy = compiled(
        {"name": "r", "action": "skip", "match": {"dependencies": ["redis"]}},
        detection={"minConfidence": "possible", "secrets": True},
    )

    assert policy.ruling(facts_of(dependencies=[("redis", "possible")])).rule == "r"
    assert (policy.min_confidence, policy.read_secrets) == (Confidence.POSSIBLE, True)


def test_an_expression_that_fails_on_a_pod_does_not_match_and_warns_without_its_values(compiled, facts_of):
    facts = facts_of(document=lambda: {"metadata": {"labels": {"app": "CANARY"}}})
    policy = compiled(
        {"name": "bad", "action": "skip", "match": {"when": "pod.metadata.labels[pod.metadata.labels.app] == ''"}},
        {"name": "good", "action": "inject"},
    )
    ruling = policy.ruling(facts)

    assert ruling.rule == "good"
    assert ruling.warnings == ("rule bad: its CEL expression does not match: a key does not exist",)


def test_the_pod_as_a_document_is_built_once_and_only_if_an_expression_reads_it(compiled, facts_of):
    built = []
    facts = facts_of(document=lambda: built.append(1) or {"spec": {}})
    levels = ["possible", "probable", "certain"]
    wants = [
        {"name": level, "action": "skip", "match": {"when": "pod.spec.size() == 5", "confidence": level}}
        for level in levels
    ]
    compiled({"name": "r", "action": "skip", "match": {"when": "namespace.name == 'x'"}}).ruling(facts)
    unread = len(built)
    compiled(*wants).ruling(facts)

    assert (unread, len(built)) == (0, 1)


@pytest.mark.parametrize(
    ("rule", "needs"),
    [
        ({"action": "skip"}, False),
        ({"action": "skip", "match": {"namespaces": ["x"]}}, False),
        ({"action": "skip", "match": {"dependencies": ["redis"]}}, True),
        ({"action": "skip", "match": {"serves": ["redis"]}}, True),
        ({"action": "skip", "except": {"serves": ["redis"]}}, True),
        ({"action": "skip", "match": {"when": "'redis' in dependencies"}}, True),
        ({"action": "skip", "match": {"when": "namespace.name == 'serves'"}}, False),
        ({"action": "bypass"}, True),
        ({"action": "bypass", "ports": [80]}, False),
    ],
)
def test_findings_are_needed_only_where_a_rule_asks_for_them(compiled, rule, needs):
    assert compiled({"name": "r", **rule}).needs_findings is needs


@pytest.mark.parametrize(("explicit", "overrides"), [("respect", False), ("override", True)])
def test_rules_overrule_the_pods_own_word_only_with_override(compiled, explicit, overrides):
    assert compiled(explicit=explicit).overrides_explicit is overrides


def test_exempt_namespaces_are_globs(compiled):
    policy = compiled(exempt={"namespaces": ["kube-*", "istio-system"]})

    assert [policy.exempts(name) for name in ("kube-system", "istio-system", "shop", "my-kube-x")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_version_is_name_and_generation(compiled):
    policy = compiled()

    assert policy.version == f"under-test/{policy.generation}"


@pytest.mark.parametrize(
    ("match", "pod"),
    [
        ({"owners": ["Foo/*"]}, {"owners": ["Foo/" + "n" * 100_000]}),
        ({"images": ["n*"]}, {"images": ["n" * 100_000]}),
        ({"serviceAccounts": ["n*"]}, {"service_account": "n" * 100_000}),
    ],
)
def test_a_name_of_any_length_is_given_as_a_reason_in_short(compiled, facts_of, match, pod):
    ruling = compiled({"name": "r", "match": match, "action": "skip"}).ruling(facts_of(**pod))

    assert ruling.action is Action.SKIP
    assert sum(map(len, ruling.matched)) <= 300
