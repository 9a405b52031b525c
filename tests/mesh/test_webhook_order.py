import pytest

from webhook.mesh.webhook_order import order_problems

OURS = ("pods.sidecar-policy.dev",)
ISTIOS = ("rev.namespace.sidecar-injector.istio.io", "object.sidecar-injector.istio.io")


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        ({"0-sidecar-policy": OURS, "istio-sidecar-injector": ISTIOS}, ()),
        ({"sidecar-policy": OURS, "istio-sidecar-injector": ISTIOS}, ("sidecar-policy",)),
        ({"istio-t": OURS, "istio-sidecar-injector": ISTIOS, "istio-revision-tag-x": ISTIOS}, ("istio-t",)),
        ({"istio-s": OURS, "istio-sidecar-injector": ISTIOS}, ()),
        ({"sidecar-policy": OURS}, ()),
        ({"istio-sidecar-injector": ISTIOS}, ()),
        ({"z-other": ("pods.other.example",), "istio-sidecar-injector": ISTIOS}, ()),
        ({"a-mine": OURS, "z-mine": OURS, "istio-sidecar-injector": ISTIOS}, ("z-mine",)),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_those_of_ours_that_are_called_after_any_of_istios_are_named(names, wrong):
    problems = order_problems(names)

    assert [problem.split()[1] for problem in problems] == list(wrong)
    assert all("0-sidecar-policy" in problem for problem in problems)
