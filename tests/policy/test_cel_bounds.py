from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pace import measured, slowness

from webhook.policy.cel import MOST_EXPRESSIONS, CelError, CelLimitError, Context, compile_expression
from webhook.policy.cel_cost import LIMIT, TYPICAL
from webhook.policy.files import PolicyError, Source
from webhook.policy.load import build

FUZZ = Path(__file__).with_name("cel_fuzz.py")
ENV = "pod.spec.containers[0].env"


def evaluated(source, pod):
    expression = compile_expression(source)
    context = Context()
    context.add(expression.variables, lambda name: pod if name == "pod" else {})
    return expression.holds(context)


def with_env(count, **variable):
    return {"spec": {"containers": [{"name": "c", "env": [{"name": f"E{n}", **variable} for n in range(count)]}]}}


def doubled(times):
    return "['aaaaaaaaaaaaaaaa']" + "".join(".map(x, x + x)" for _ in range(times)) + ".size() > 0"


def test_generated_expressions_on_hostile_pods_never_end_the_process():
    run = subprocess.run(
        [sys.executable, str(FUZZ), "15", "1500"], capture_output=True, text=True, check=False, timeout=600
    )

    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert min(found["evaluated"], found["failed"], found["refused"]) > 300
    assert found["slowest"] < slowness(), found["expression"]
    assert found["mebibytes"] < 256


@pytest.mark.parametrize(
    "source",
    [
        f"{ENV}.all(a, {ENV}.all(b, {ENV}.all(c, a.name + b.name + c.name != 'x')))",
        f"{ENV}.all(a, {ENV}.all(b, {ENV}.all(c, {ENV}.all(d, a.name + d.name != 'x'))))",
        f"{ENV}.map(a, {ENV}.map(b, pod)).size() > 0",
        f"dyn({ENV}).all(a, dyn({ENV}).all(b, dyn(pod.spec).all(c, pod.spec.volumes.all(d, true))))",
        "pod.metadata.labels.all(a, pod.metadata.annotations.all(b, pod.spec.nodeSelector.all(c, a + b + c != '')))",
        doubled(28),
        "pod.metadata.name.matches('" + r"\\pL{900}" + "')",
    ],
)
def test_an_expression_that_could_take_long_is_refused_with_its_cost(source):
    with pytest.raises(CelError, match=r"the estimated cost is [\d,]+, more than 1,000,000") as caught:
        compile_expression(source)

    assert "split it into several rules" in caught.value.hint


def test_the_innermost_loop_is_named():
    source = f"{ENV}.all(a,\n  {ENV}.all(b,\n    {ENV}.all(c, a.name + b.name != c.name)))"

    with pytest.raises(CelError, match="its innermost loop is at line 3, column 35"):
        compile_expression(source)


@pytest.mark.parametrize(
    "source",
    [
        "pod.spec.containers.all(c, c.env.all(e, !e.value.matches('^postgres://')))",
        "pod.spec.containers.all(c, pod.spec.volumes.exists(v, c.volumeMounts.exists(m, m.name == v.name)))",
        "pod.spec.containers.all(c, pod.metadata.annotations['allowed'].contains(c.image))",
        "pod.spec.containers.map(c, c.image).exists(i, i.startsWith('registry.example/'))",
        "pod.metadata.labels.filter(k, k.startsWith('team.example/')).size() > 1",
        "pod.spec.containers.all(c, c.resources.limits.all(k, k in c.resources.requests))",
        f"{ENV}.all(a, {ENV}.all(b, a.name != '' || b.name == ''))",
    ],
)
def test_what_people_write_is_well_within_the_limit(source):
    assert compile_expression(source).cost.at(TYPICAL) < LIMIT / 2


@pytest.mark.parametrize(
    "source",
    [
        "pod['metadata']['labels']['in'] == 'x'",
        "pod[\"spec\"]['hostNetwork'] == true && pod.metadata.labels['app.kubernetes.io/name'] == 'x'",
        "'spec' in pod && pod.metadata.name == \"a['contianers']\"",
        "pod['spec']['newFieldOfTomorrow'] == 1",
    ],
)
def test_a_field_may_be_written_as_an_index(source):
    assert compile_expression(source).variables == {"pod"}


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("dependencies.exists(d, d.kind == 'redis')", "type string has no fields at line 1, column 25", "itself"),
        ("pod.spec.contaners.size() == 1", "unknown field 'contaners' of PodSpec at line 1", "mean 'containers'?"),
        ("pod.spec.containers.all(c, c.imag == 'x')", "unknown field 'imag' of Container", "mean 'image'?"),
        ("pod.metdata.name == 'x'", "unknown field 'metdata' of Pod", "mean 'metadata'?"),
        ("pod['spec']['contianers'].size() == 1", "unknown field 'contianers' of PodSpec at line 1", "'containers'?"),
        ('pod.spec[ "hostNetwrk" ] == true', "unknown field 'hostNetwrk' of PodSpec", "mean 'hostNetwork'?"),
        ("'spce' in pod || pod.metdata.name == 'x'", "unknown field 'metdata' of Pod", "mean 'metadata'?"),
        ("owner.nam == 'x'", "unknown field 'nam' of Owner", "mean 'name'?"),
        ("namespace.lables.a == 'x'", "unknown field 'lables' of Namespace", "mean 'labels'?"),
        ("pod.spec.hostNetwork == 'true'", "'==' does not take (bool, string) at line 1, column 22", "one type"),
        ("pod.metadata.labels.a + 1 == 2", "'+' does not take (string, int)", "one type"),
        ("serves.size().all(x, true)", "type int has no elements", "loop over a list or map"),
        ("owner.kind", "the result is of type string, not bool", "write a condition"),
        ("pod.metadata.name.matches('[')", "invalid regular expression at line 1, column 27: missing ]", None),
        ("pod.metadata.name.matches('a{2000}')", "invalid regular expression", None),
        ("pod.metadata.name.matches(owner.name)", "the pattern of matches() must be a string literal", "in quotes"),
        ("timestamp(0).getHours('file:/dev/zero') == 1", "unknown time zone 'file:/dev/zero'", "'UTC'"),
        ("timestamp(0).getHours('../../dev/zero') == 1", "unknown time zone", "'UTC'"),
        ("timestamp(0).getHours('localtime') == 1", "unknown time zone 'localtime' at line 1, column 23", "'UTC'"),
        ("timestamp(0).getHours('posix/UTC') == 1", "unknown time zone", "'UTC'"),
        ("timestamp(0).getHours('right/UTC') == 1", "unknown time zone", "'UTC'"),
        ("timestamp(0).getHours('posixrules') == 1", "unknown time zone", "'UTC'"),
        ("timestamp(0).getHours('99:99') == 1", "unknown time zone '99:99'", "'+01:00'"),
        ("timestamp(0).getHours('+24:00') == 1", "unknown time zone", "'+01:00'"),
        ("timestamp(0).getMinutes('-01:60') == 1", "unknown time zone", "'+01:00'"),
        (f"timestamp(0).getHours('{'x' * 500}') == 1", "unknown time zone", "'UTC'"),
        ("'\ud800' == 'a'", "half of a surrogate pair at line 1, column 2", "the whole character"),
        ("namespace.name == 'a' ||\n  owner.name == '\udfff'", "half of a surrogate pair at line 2, column 18", None),
        ("timestamp(0).getHours(owner.name) == 1", "a time zone must be a string literal", "in quotes"),
        ("google.protobuf.Int64Value{value: 1} == 1", "messages cannot be created", "one by one"),
        ("[" * 1500 + "]" * 1500 + " == []", "nested too deeply", "32 levels"),
        ("x" * 4096, "unknown variable", None),
    ],
)
def test_an_expression_that_does_not_fit_its_variables_is_refused_with_a_hint(source, message, hint):
    with pytest.raises(CelError) as caught:
        compile_expression(source)

    assert message in str(caught.value)
    assert (hint or "") in (caught.value.hint or "")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires", "+05:30", "-08:00", "02:00"])
def test_names_of_the_iana_and_fixed_offsets_are_time_zones(zone):
    assert not evaluated(f"timestamp(0).getMilliseconds('{zone}') == 1", {})


def test_objects_may_be_used_as_maps():
    pod = {"spec": {"hostNetwork": True, "containers": []}}

    assert evaluated("'hostNetwork' in pod.spec && pod.spec.size() == 2 && pod['spec']['hostNetwork']", pod)


def test_a_field_that_no_version_of_kubernetes_had_is_a_warning(compiled):
    policy = compiled({"name": "r", "action": "skip", "match": {"when": "pod.spec.quitenew == 1"}})

    assert ["when: unknown field PodSpec.quitenew" in str(warning) for warning in policy.warnings] == [True]


def test_validate_says_line_column_and_remedy_of_an_expression(compiled):
    with pytest.raises(PolicyError) as caught:
        compiled({"name": "r", "action": "skip", "match": {"when": "true &&\n  pod.spec.contaners.size() == 1"}})

    assert str(caught.value) == (
        "policy.yaml:13: error: spec.rules[0].match.when: unknown field 'contaners' of PodSpec at line 2, column 11 "
        "(did you mean 'containers'?)"
    )


def _nested(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("source", "pod", "message"),
    [
        ("pod == pod", _nested(100_000), "the pod is too large"),
        ("pod == pod", with_env(100_000), "the pod is too large"),
        ("pod == pod", with_env(1, value="v" * (2 << 20)), "the pod is too large"),
        ("pod == pod", {"x": 1 << 64}, "of a type that CEL does not have"),
        ("pod == pod", {"x": "\ud800"}, "of a type that CEL does not have"),
        (f"{ENV}.all(a, {ENV}.all(b, a.name != b.name))", with_env(3000), "the pod is too large for this expression"),
        (f"{ENV}.all(a, {ENV}.all(b, a.name != ''))", with_env(150, value="v"), "it takes too many iterations"),
        (
            "pod.metadata.annotations['a'].contains(pod.metadata.annotations['b'])",
            {"metadata": {"annotations": {"a": "a" * 200_000, "b": "a" * 100_000 + "b"}}},
            "the pod is too large for this expression",
        ),
    ],
)
def test_an_expression_is_not_evaluated_on_a_pod_that_would_take_long(source, pod, message):
    with measured() as work, pytest.raises(CelLimitError, match=message):
        evaluated(source, pod)

    assert work.seconds < 0.5


TOO_LARGE = {
    "values": with_env(60_000),
    "text": with_env(1, value="v" * (2 << 20)),
    "nesting": _nested(100_000),
    "a number": {"x": 1 << 63},
    "half a character": {"x": "\ud800"},
    "this expression": with_env(3000),
    "iterations": with_env(150, value="v"),
}


@pytest.mark.parametrize("pod", TOO_LARGE.values(), ids=TOO_LARGE)
@pytest.mark.parametrize("place", ["match", "except"])
def test_a_pod_that_exceeds_a_limit_is_not_known_instead_of_not_matched(compiled, facts_of, pod, place):
    when = {"when": f"{ENV}.all(a, {ENV}.all(b, a.name + b.name != ''))"}
    policy = compiled(
        {"name": "before", "action": "inject", "match": {"labels": {"matchLabels": {"app": "other"}}}},
        {"name": "r", "action": "skip", "match": {}, place: when},
        {"name": "after", "action": "inject", "match": {}},
    )
    ruling = policy.ruling(facts_of(document=lambda: pod))

    assert (ruling.known, ruling.rule, ruling.action) == (False, None, policy.on_unknown)
    assert ruling.why.startswith("rule r: its CEL expression is not evaluated: ")


def test_a_limit_does_not_matter_where_something_else_keeps_the_rule_from_matching(compiled, facts_of):
    facts = facts_of(document=lambda: with_env(60_000))
    other = {"labels": {"matchLabels": {"app": "other"}}}
    never = {"name": "never", "action": "skip", "match": other | {"when": "pod.spec.hostNetwork"}}
    excepted = {"name": "x", "action": "skip", "match": {"when": "pod.spec.hostNetwork"}, "except": {"when": "true"}}
    ruling = compiled(never, excepted, {"name": "last", "action": "inject", "match": {}}).ruling(facts)

    assert (ruling.known, ruling.rule) == (True, "last")


def test_a_field_that_is_not_there_still_makes_a_rule_not_match(compiled, facts_of):
    missing = {"name": "r", "action": "skip", "match": {"when": "pod.spec.hostNetwork"}}
    ruling = compiled(missing, {"name": "last", "action": "inject", "match": {}}).ruling(facts_of(document=dict))

    assert (ruling.known, ruling.rule) == (True, "last")
    assert "its CEL expression does not match" in ruling.warnings[0]


def test_a_large_pod_is_within_the_limit_of_what_people_write():
    env = [{"name": f"NAME_{n}", "value": "some text of a setting " * 8} for n in range(500)]
    pod = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "web", "env": env}, {"name": "d", "image": "proxy"}]},
    }

    assert evaluated("pod.spec.containers.all(c, !has(c.env) || c.env.all(e, !e.value.matches('^redis://')))", pod)
    assert evaluated("pod.metadata.labels.filter(k, k.startsWith('a')).size() == 1", pod)
    assert evaluated("pod.spec.containers.map(c, c.image).exists(i, i == 'proxy')", pod)


def test_all_expressions_on_one_pod_share_a_limit(compiled, facts_of):
    pod = with_env(110, value="v" * 100)
    rules = [
        {"name": f"r{n}", "action": "skip", "match": {"when": f"{ENV}.map(a, a.value + a.value).size() == {n + 1000}"}}
        for n in range(400)
    ]
    ruling = compiled(*rules).ruling(facts_of(document=lambda: pod))

    assert "those before it" in ruling.why
    assert (ruling.known, ruling.rule) == (False, None)


@pytest.mark.parametrize("files", [1, 2])
def test_a_policy_of_very_many_expressions_is_rejected_at_once(files):
    """To compile them took a quarter of a minute, in which the server could not end."""

    def policy(count):
        rules = [
            {"name": f"r{number}", "match": {"when": f"pod.metadata.name == '{number}'"}, "action": "skip"}
            for number in range(count)
        ]
        head = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\n"
        size = -(-len(rules) // files)
        parts = [rules[start : start + size] for start in range(0, len(rules), size)]
        return [
            Source(f"{n}.yaml", f"{head}spec: {{rules: {json.dumps(part)}}}\n".encode()) for n, part in enumerate(parts)
        ]

    with measured() as work, pytest.raises(PolicyError, match=r"1001 CEL expressions in all files, more than 1000"):
        build(policy(MOST_EXPRESSIONS + 1))
    assert work.seconds < 2
    assert len(build(policy(50)).rules) == 50
