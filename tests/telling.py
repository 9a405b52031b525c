"""A small API server that keeps Events, and senders of Events to it over the real client."""

import asyncio
import io
import json
import threading
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import yaml

from webhook.cluster.client import connect
from webhook.core.decision import Action, Confidence, Decision, Dependency, Findings, Reason
from webhook.kubernetes.pod import Pod
from webhook.server.observe.events import Events
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat


@dataclass
class ApiServer:
    """Keeps Events as the real one does: one of each name, with resource versions, series from 2 on.

    Attributes:
        events: What it has, by path.
        requests: Method and path of all that was asked.
        refusal: A status and message to answer everything with, instead.
        hang: Until it is set, nothing is answered.
        port: Where it listens.
    """

    events: dict[str, dict] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    hang: threading.Event | None = None
    versions: int = 0
    port: int = 0

    def answer(self, method, path, body):
        self.requests.append((method, path))
        if self.hang is not None:
            self.hang.wait(10)
        if self.refusal is not None:
            return refused(*self.refusal)
        name = f"{path}/{body['metadata']['name']}" if method == "POST" else path
        stored = self.events.get(name)
        if method == "POST":
            if stored is not None:
                return refused(409, "already exists")
            return 201, self.keep(name, body)
        if stored is None:
            return refused(404, "not found")
        metadata = body.get("metadata", {})
        if metadata.get("resourceVersion", stored["metadata"]["resourceVersion"]) != self.version_of(name):
            return refused(409, "the object has been modified")
        return 200, self.keep(name, stored | body) if body else stored

    def keep(self, name, event):
        assert event.get("series", {"count": 2})["count"] >= 2
        self.versions += 1
        metadata = event["metadata"] | {"resourceVersion": str(self.versions)}
        self.events[name] = event | {"metadata": metadata}
        return self.events[name]

    def version_of(self, name):
        return self.events[name]["metadata"]["resourceVersion"]

    def regarded(self, namespace):
        """The names of the objects of a namespace that Events are about."""
        about = [event["regarding"] for event in list(self.events.values())]
        return [one["name"] for one in about if one["namespace"] == namespace]

    @property
    def only(self):
        (event,) = self.events.values()
        return event

    @property
    def count(self):
        """How often the only Event was seen."""
        return self.only.get("series", {"count": 1})["count"]

    @property
    def methods(self):
        return [method for method, _ in self.requests]


def refused(status, message):
    return status, {"kind": "Status", "message": message, "code": status}


class Teller:
    """Senders of one API server, with all that they counted and logged."""

    def __init__(self, directory, port):
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "users": [{"name": "u", "user": {}}],
                    "current-context": "c",
                }
            )
        )
        self.outcomes = Counter()
        self.lines = io.StringIO()
        self.clients = []

    def make(self, instance="pod-1", **parts):
        """A sender that is not running yet."""
        self.clients.append(connect(self.kubeconfig))
        return Events(
            self.clients[-1],
            instance=instance,
            resolve=lambda *_: None,
            count=lambda outcome, times: self.outcomes.update({outcome.value: times}),
            log=make_logger(self.lines, LogFormat.JSON),
            **parts,
        )

    def run(self, *senders, scenario=None):
        """Let senders run until the scenario is over, and leave in good order."""

        async def main():
            stop = asyncio.Event()
            running = [asyncio.create_task(sender.run(stop)) for sender in senders]
            if scenario is not None:
                await scenario()
            stop.set()
            await asyncio.gather(*running)
            for client in self.clients:
                await client.close()

        asyncio.run(main())

    @property
    def log(self):
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def decision(**fields):
    redis = Dependency("redis", Confidence.CERTAIN, "basket-data", 6379, "env DB → redis")
    fields = {"rule": "clients", "policy": "p/1", "matched": ("dependency redis",)} | fields
    return Decision(Action.SKIP, Reason.RULE, findings=Findings((redis,)), **fields)


def pod(owner="db"):
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": f"uid-{owner}"}
    return msgspec.convert({"metadata": {"ownerReferences": [reference]}, "spec": {}}, Pod)


def offer(events, *, times=1, owner="db", namespace="shop", made=None, dry_run=False):
    for _ in range(times):
        events.offer(made or decision(), pod(owner), namespace, dry_run=dry_run)
