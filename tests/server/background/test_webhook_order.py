import asyncio
import contextlib
import io

import pytest

from webhook.cluster.client import connect
from webhook.server.background.webhook_order import CONFIGURATIONS, WebhookOrder, order_problems
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

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


def test_a_wrong_order_is_logged_and_counted_once_and_forgotten_when_it_is_mended(api, kubeconfig):
    lines, violations = io.StringIO(), []

    def configuration(name, webhooks):
        return {"metadata": {"name": name}, "webhooks": [{"name": webhook} for webhook in webhooks]}

    async def scenario():
        order = WebhookOrder(client, make_logger(lines, LogFormat.JSON), lambda: violations.append(order.problems))
        stop = asyncio.Event()
        watching = asyncio.create_task(order.watch(stop))
        async with asyncio.timeout(5):
            while not order.problems:
                await asyncio.sleep(0.005)
            api.put(CONFIGURATIONS.path, configuration("istio-sidecar-injector", ISTIOS))
            api.delete(CONFIGURATIONS.path, "/sidecar-policy")
            while order.problems:
                await asyncio.sleep(0.005)
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await client.close()

    api.put(CONFIGURATIONS.path, configuration("istio-sidecar-injector", ISTIOS))
    api.put(CONFIGURATIONS.path, configuration("sidecar-policy", OURS))
    client = connect(kubeconfig)
    asyncio.run(scenario())
    assert len(violations) == 1
    assert lines.getvalue().count("is called after istio-sidecar-injector") == 1
    assert '"problem":null' in lines.getvalue()
