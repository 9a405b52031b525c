from __future__ import annotations

import traceback

import pytest

from webhook.policy.cel import CelError, CelFailure, Context, compile_expression

VALUES = {
    "pod": {"metadata": {"namespace": "shop", "labels": {"app": "CANARY"}}, "spec": {"containers": [{"name": "web"}]}},
    "namespace": {"name": "shop", "labels": {}},
    "owner": {"kind": "Deployment", "name": "web"},
    "dependencies": ["redis"],
    "serves": [],
}


@pytest.fixture
def holds():
    def evaluate(source):
        expression = compile_expression(source)
        context = Context()
        context.add(expression.variables, VALUES.__getitem__)
        return expression.holds(context)

    return evaluate


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("pod.spec.containers.size() == 1", True),
        ("'redis' in dependencies && serves.size() == 0", True),
        ("owner.kind == 'Job'", False),
        ("namespace.name == 'shop'", True),
        ("pod.metadata.namespace == namespace.name", True),
        ("pod.metadata.namespace == 'namespace'", False),
        ("'namespace' == r'namespace' // namespace", True),
        ("has(pod.metadata.annotations)", False),
        ("pod.spec.containers.exists(c, c.name == 'web')", True),
        ("dependencies.map(d, d.size()).exists(n, n > 4)", True),
        ("timestamp('2026-01-01T00:00:00Z').getFullYear() == 2026", True),
    ],
)
def test_an_expression_is_evaluated_over_the_five_variables(holds, source, outcome):
    assert holds(source) is outcome


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("", "an empty expression", "remove the field"),
        ("pod.spec.", "line 1, column 10", None),
        ("true\n&& &&", "line 2, column 4", None),
        ("pdo.spec == 1", "unknown variable 'pdo'", "did you mean 'pod'?"),
        ("namespaces.name == 'a'", "unknown variable 'namespaces'", "did you mean 'namespace'?"),
        ("quite.different", "unknown variable 'quite'", "dependencies, namespace, owner, pod, serves"),
        ("pod.metadata.name.beginsWith('a')", "unknown function 'beginsWith'", "did you mean 'endsWith'?"),
        ("(" * 200 + "true" + ")" * 200, "nested too deeply", None),
        ("true ||" * 1000 + "true", "longer than 4096 characters", None),
    ],
)
def test_an_expression_that_cannot_work_is_refused_with_a_hint(source, message, hint):
    with pytest.raises(CelError) as caught:
        compile_expression(source)

    assert message in str(caught.value)
    assert (hint or "") in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pod.spec.initContainers.size() > 0", "key 'initContainers' does not exist"),
        ("pod.metadata.labels[pod.metadata.labels.app] == 'x'", "a key does not exist"),
        ("dyn(pod.metadata.labels.app)", "the result is of type str, not a boolean"),
        ("dyn(pod.metadata.labels.app) + 1 == 2", "an operation does not fit the types of its values"),
        ("duration(pod.metadata.labels.app) == duration('1s')", "evaluation failed (RuntimeError)"),
        ("timestamp(pod.metadata.labels.app) > timestamp(0)", "evaluation failed (RuntimeError)"),
        ("pod.spec.containers.size() + 9223372036854775807 > 0", "evaluation failed (OverflowError)"),
        ("pod.spec.containers[7].name == 'x'", "evaluation failed (IndexError)"),
        ("1 / (pod.spec.containers.size() - 1) == 1", "evaluation failed (ZeroDivisionError)"),
    ],
)
def test_a_failure_on_one_pod_says_why_without_a_value_of_the_pod(holds, source, message):
    with pytest.raises(CelFailure) as caught:
        holds(source)

    assert str(caught.value) == message
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


def test_a_value_of_a_type_that_cel_lacks_is_a_failure():
    with pytest.raises(CelFailure, match="a type that CEL does not have"):
        Context().add(["pod"], lambda _: {"x": object()})


def test_only_the_variables_that_an_expression_reads_are_wanted():
    assert compile_expression("owner.kind == 'pod' || 'x' in serves").variables == {"owner", "serves"}


def test_a_variable_is_converted_once():
    asked = []
    context = Context()
    for _ in range(3):
        context.add(["pod"], lambda name: asked.append(name) or {})

    assert asked == ["pod"]
