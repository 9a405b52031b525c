from __future__ import annotations

import contextlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.policy.files import PolicyError, Source
from webhook.policy.load import build, default_policy, load

HEAD = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n  rules:\n"


@pytest.fixture
def problems(kinds):
    def of(*texts):
        sources = [Source(f"{number}.yaml", text.encode()) for number, text in enumerate(texts)]
        with pytest.raises(PolicyError) as caught:
            build(sources, kinds=kinds)
        return list(map(str, caught.value.problems))

    return of


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{name: a, action: skip, mach: {}}", "rules[0].mach: unknown field (did you mean 'match'?)"),
        (
            "{name: a, action: skip, match: {depndencies: [redis]}}",
            "rules[0].match.depndencies: unknown field (did you mean 'dependencies'?)",
        ),
        (
            "{name: a, action: skip, except: {namespace: [x]}}",
            "rules[0].except.namespace: unknown field (did you mean 'namespaces'?)",
        ),
        ("{action: skip}", "rules[0].name: is missing"),
        ("{name: a}", "rules[0].action: is missing"),
        ("{name: 5, action: skip}", "rules[0].name: must be text, not a number (put it in quotes)"),
        ("{name: a/b, action: skip}", "rules[0].name: must be 1 to 63 printable characters without '/'"),
        (
            "{name: a, action: bypas}",
            "rules[0].action: must be one of inherit, skip, inject, bypass, not 'bypas' (did you mean 'bypass'?)",
        ),
        ("{name: a, action: skip, mode: }", "rules[0].mode: has no value (give it one, or remove the field)"),
        ("{name: a, action: skip, match: []}", "rules[0].match: must be a mapping, not a list"),
        (
            "{name: a, action: skip, match: {dependencies: redis}}",
            "rules[0].match.dependencies: must be a list (write [redis])",
        ),
        (
            "{name: a, action: skip, match: {dependencies: []}}",
            "rules[0].match.dependencies: an empty list matches nothing (remove the field, or list something)",
        ),
        (
            "{name: a, action: skip, match: {dependencies: [redis, postgres]}}",
            "rules[0].match.dependencies[1]: unknown kind 'postgres' (did you mean 'postgresql'?)",
        ),
        (
            "{name: a, action: skip, match: {serves: [rabitmq]}}",
            "rules[0].match.serves[0]: unknown kind 'rabitmq' (did you mean 'rabbitmq'?)",
        ),
        (
            "{name: a, action: skip, match: {serves: [frobnicator]}}",
            "unknown kind 'frobnicator' (valid values: elasticsearch, kafka, mssql, postgresql, rabbitmq, redis)",
        ),
        (
            "{name: a, action: skip, match: {namespaces: ['team-[ab']}}",
            "rules[0].match.namespaces[0]: bad glob 'team-[ab': '[' at character 6 is not closed by ']'",
        ),
        (
            "{name: a, action: skip, match: {namespaces: [Team-*]}}",
            "'Team-*' can never match: such names are lower-case (write 'team-*')",
        ),
        (
            "{name: a, action: skip, match: {serviceAccounts: [ns/default]}}",
            "'ns/default' can never match: such names hold only a-z, 0-9, '-' and '.'",
        ),
        ("{name: a, action: skip, match: {owners: [job]}}", "owners[0]: 'job' is not a kind (did you mean 'Job'?)"),
        ("{name: a, action: skip, match: {owners: [Jobs]}}", "owners[0]: 'Jobs' is not a kind (did you mean 'Job'?)"),
        ("{name: a, action: skip, match: {owners: [Job/]}}", "owners[0]: bad glob '': an empty glob matches nothing"),
        (
            "{name: a, action: skip, match: {labels: {app: web}}}",
            "a selector has matchLabels or matchExpressions (put the pairs under matchLabels)",
        ),
        ("{name: a, action: skip, match: {labels: {}}}", "match.labels: an empty selector matches everything"),
        (
            "{name: a, action: skip, match: {labels: {matchLabels: {app: a b}}}}",
            "match.labels: invalid label value 'a b'",
        ),
        (
            "{name: a, action: skip, match: {annotations: {matchLabels: {'a b': x}}}}",
            "match.annotations: 'a b' is not a valid label or annotation name",
        ),
        (
            "{name: a, action: skip, match: {labels: {matchExpressions: [{key: a, operator: in, values: [x]}]}}}",
            "operator: must be one of In, NotIn, Exists, DoesNotExist, not 'in' (did you mean 'In'?)",
        ),
        (
            "{name: a, action: skip, match: {labels: {matchExpressions: [{key: a, operator: In}]}}}",
            "matchExpressions[0]: operator In needs values",
        ),
        (
            "{name: a, action: skip, match: {labels: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}}}",
            "matchExpressions[0]: operator Exists takes no values",
        ),
        (
            "{name: a, action: skip, match: {labels: {matchExpressions: [{key: a, operator: In, values: [no]}]}}}",
            "values[0]: must be text, not true or false (put it in quotes)",
        ),
        ("{name: a, action: skip, match: {when: pdo.x}}", "match.when: unknown variable 'pdo' (did you mean 'pod'?)"),
        ("{name: a, action: skip, match: {when: 'pod.x ='}}", "match.when: not valid CEL at line 1, column 7"),
        ("{name: a, action: skip, match: {confidence: sure}}", "match.confidence: must be one of possible, probable"),
        ("{name: a, action: skip, except: {}}", "except: an empty except excludes every pod"),
        ("{name: a, action: skip, ports: [80]}", "ports: ports has no effect with action skip (use action: bypass"),
        ("{name: a, action: skip, hold: true}", "hold: hold has no effect with action skip"),
        ("{name: a, action: bypass, ports: [0]}", "ports[0]: must be from 1 to 65535"),
        ("{name: a, action: bypass, ports: [70000]}", "ports[0]: must be from 1 to 65535"),
        ("{name: a, action: bypass, ports: ['80']}", "ports[0]: must be a whole number, not text"),
        ("{name: a, action: bypass, ports: [true]}", "ports[0]: must be a whole number, not true or false"),
        ("{name: a, action: bypass, ports: []}", "ports: an empty list matches nothing"),
        ("{name: a, action: bypass, ports: all}", "ports: must be detected, not 'all'"),
        ("{name: a, action: bypass, ports: 80}", "ports: must be a list, not a number"),
        ("{name: a, action: bypass, hold: 1}", "hold: must be true or false, not a number"),
    ],
)
def test_a_faulty_rule_gives_one_problem_with_line_field_and_remedy(problems, rule, problem):
    (told,) = problems(f"{HEAD}  - {rule}\n")

    assert told.startswith("0.yaml:6: error: spec.rules[0]")
    assert problem in told


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0.yaml: error: the file is empty"),
        ("- a\n", "0.yaml:1: error: must be a mapping, not a list"),
        ("just text", "0.yaml:1: error: must be a mapping, not text"),
        (HEAD.replace("v1alpha1", "v1"), "0.yaml:1: error: apiVersion: must be sidecar-policy.dev/v1alpha1, not"),
        (HEAD.replace("InjectionPolicy", "Deployment"), "0.yaml:2: error: kind: must be InjectionPolicy, not"),
        ("kind: InjectionPolicy\n", "0.yaml:1: error: apiVersion: is missing"),
        (HEAD + "  default: bypass\n", "spec.default: must be one of inherit, skip, inject, not 'bypass'"),
        (HEAD + "  detection: {minconfidence: certain}\n", "unknown field (did you mean 'minConfidence'?)"),
    ],
)
def test_a_faulty_file_says_what_is_wrong(problems, text, problem):
    assert any(problem in line for line in problems(text)), problems(text)


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(problems):
    told = problems(f"{HEAD}  - {{name: a, acton: skip}}\n  - {{name: b, action: skip, ports: [0]}}\n  defualt: skip\n")

    assert [line.split(": error: ")[1].split(":")[0] for line in told] == [
        "spec.rules[0].action",
        "spec.rules[0].acton",
        "spec.rules[1].ports",
        "spec.defualt",
    ]


def test_two_rules_of_one_name_are_an_error_even_across_files(problems):
    rule = HEAD + "  - {name: a, action: skip}\n"

    assert problems(rule, rule) == [
        "1.yaml:6: error: spec.rules[0].name: duplicate name 'a', see 0.yaml:6 (give each rule its own name)"
    ]


def test_a_field_of_spec_that_two_files_set_is_an_error_that_names_both(problems):
    first = HEAD + "  - {name: a, action: skip}\n  default: skip\n"

    assert problems(first, first.replace("name: a,", "name: b,")) == [
        "1.yaml:7: error: spec.default: already set in 0.yaml (keep it in one of the two files)"
    ]


def test_the_rules_of_several_files_stand_in_the_order_of_the_files(kinds):
    sources = [Source(f"{name}.yaml", f"{HEAD}  - {{name: {name}, action: skip}}\n".encode()) for name in "abc"]

    assert [rule.name for rule in build(sources, kinds=kinds).rules] == ["a", "b", "c"]


def test_a_directory_is_read_in_name_order_without_hidden_and_other_files(tmp_path, kinds):
    for file, rule in [("20.yml", "b"), ("10.yaml", "a"), ("30.json", "c"), (".hidden.yaml", "x"), ("notes.txt", "y")]:
        (tmp_path / file).write_text(f"{HEAD}  - {{name: {rule}, action: skip, match: {{serves: [redis]}}}}\n")
    (tmp_path / "..data").mkdir()

    assert [rule.name for rule in load([tmp_path], kinds=kinds).rules] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "fault"), [("missing.yaml", "cannot be read: No such file"), ("", "contains no *.yaml, *.yml or *.json")]
)
def test_what_cannot_be_read_is_told_apart_from_what_is_wrong(tmp_path, name, fault):
    with pytest.raises(PolicyError, match=fault.replace("*", r"\*")) as caught:
        load([tmp_path / name])

    assert caught.value.unreadable


def test_the_generation_follows_the_content_and_not_the_name_of_the_file(tmp_path, policy_text):
    for file, text in [("a.yaml", policy_text()), ("b.yaml", policy_text()), ("c.yaml", policy_text(mode="audit"))]:
        (tmp_path / file).write_text(text)
    first, same, other = (load([tmp_path / file]).generation for file in ("a.yaml", "b.yaml", "c.yaml"))

    assert first == same != other
    assert len(first) == 8


def test_the_packaged_policy_skips_the_clients_of_three_datastores():
    policy = default_policy()

    assert (policy.name, policy.default.value, [rule.name for rule in policy.rules]) == (
        "mesh-default",
        "inherit",
        ["datastore-clients"],
    )
    assert policy.warnings == ()
    assert policy.exempts("kube-system")
    assert policy.exempts("istio-system")
    assert not policy.exempts("shop")


@given(
    rules=st.integers(0, 6),
    at=st.integers(0, 6),
    field=st.text("abcdefghij", min_size=3, max_size=9).filter(lambda name: name not in {"name", "match", "action"}),
    flow=st.booleans(),
)
def test_an_unknown_field_is_told_with_its_own_line_wherever_it_stands(rules, at, field, flow):
    entries = [{"name": f"r{number}", "action": "skip", "match": {"serves": ["redis"]}} for number in range(rules + 1)]
    at = min(at, rules)
    entries[at]["x" + field] = "y"
    document = {
        "apiVersion": "sidecar-policy.dev/v1alpha1",
        "kind": "InjectionPolicy",
        "metadata": {"name": "p"},
        "spec": {"rules": entries},
    }
    text = json.dumps(document, indent=2) if flow else yaml.safe_dump(document)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "x" + field in line)

    with pytest.raises(PolicyError) as caught:
        build([Source("p.yaml", text.encode())])

    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (line, f"spec.rules[{at}].x{field}")


@pytest.mark.parametrize(
    "rules",
    [
        [{"name": f"r{n}", "action": "skip", "mach": 1} for n in range(1000)],
        [{"name": "r", "action": "skip", "match": {"images": ["["] * 10_000}}],
        [{"name": f"r{n}", "action": "skip", "match": {"images": [f"*a{n}*b*c"]}} for n in range(2000)],
        [{"name": "r", "action": "skip", "match": {"images": ["a" * 500_000 + "*", "b*"]}}],
    ],
    ids=["unknown fields", "bad globs", "globs that may cover each other", "a long glob"],
)
def test_a_policy_with_very_many_faults_or_globs_is_checked_within_seconds(policy_text, rules):
    source = Source("policy.yaml", policy_text(*rules).encode())
    with measured() as work, contextlib.suppress(PolicyError):
        build([source])

    assert work.seconds < 5
