import asyncio
import contextlib
import io

from webhook.cluster.client import connect
from webhook.server.background.webhook_order import CONFIGURATIONS, WebhookOrder
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

OURS = ("pods.sidecar-policy.dev",)
ISTIOS = ("rev.namespace.sidecar-injector.istio.io", "object.sidecar-injector.istio.io")


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
