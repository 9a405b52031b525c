from analysed import SKIP, planned


def test_a_change_says_from_what_to_what_by_which_rule_and_evidence():
    (change,) = planned().changes

    assert (change.kind, change.namespace, change.name) == ("Deployment", "shop", "web")
    assert (change.before.action, change.before.rule) == ("inherit", None)
    assert (change.after.action, change.after.rule) == ("skip", "redis-clients")
    assert change.loses_sidecar


def test_another_rule_that_says_the_same_is_no_change():
    assert planned(now=SKIP, then=SKIP.replace("redis-clients", "others")).changes == []


def test_from_audit_to_enforce_is_a_change_that_loses_the_sidecar():
    (change,) = planned(now=SKIP.replace("spec: {", "spec: {mode: audit, ")).changes

    assert (change.before.mode, change.after.mode) == ("audit", "enforce")
    assert change.loses_sidecar
