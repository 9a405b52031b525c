"""Decide on every pod of examples/eshop as a cluster would, over verified TLS, and show why.

The real server runs as a process of its own, on loopback, with certificates that it issues itself and a copy of the
default policy. Every pod is sent to it in an AdmissionReview, built as the ReplicaSet controller creates pods; the
returned patches are applied and compared with the labelled dependencies of eShop. Then the policy file is edited while
the server runs, and the same pod is reviewed again.

Usage: python examples/demo.py [--svg PICTURE]
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonpatch
import yaml
from demo_server import DemoError, Server, operations
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

ESHOP = Path(__file__).parent / "eshop"
STYLES = {"skip": "yellow", "bypass": "cyan", "inherit": "green"}

# The labelled dependencies of eShop's workloads; all others use HTTP and gRPC only.
CLIENTS = {
    "basket-api": {"rabbitmq", "redis"},
    "catalog-api": {"mssql", "rabbitmq"},
    "identity-api": {"mssql"},
    "ordering-api": {"mssql", "rabbitmq"},
    "ordering-backgroundtasks": {"mssql", "rabbitmq"},
    "ordering-signalrhub": {"rabbitmq"},
    "payment-api": {"rabbitmq"},
    "webhooks-api": {"mssql", "rabbitmq"},
    "webmvc": {"redis"},
    "webspa": {"redis"},
}
# Configured, although this version of the application never connects: correct with and without.
DEBATABLE = {"identity-api": {"redis"}, "ordering-signalrhub": {"redis"}}
WORKLOADS = 21
WIDTH = 128  # room for most evidence chains on two lines


@dataclass
class Answer:
    """The server's response for one pod."""

    name: str
    action: str
    kinds: set[str]
    pod: dict[str, Any] = field(repr=False)
    milliseconds: float

    def complaint(self, explained: dict[str, Any]) -> str | None:
        """Return what is not as expected, or None; `explained` is the same workload in `explain -o json`."""
        sure = CLIENTS.get(self.name, set())
        action = "skip" if sure else "inherit"
        label = self.pod["metadata"]["labels"].get("sidecar.istio.io/inject")
        if self.action != action:
            return f"{self.name}: the decision is {self.action}, expected {action}"
        if label != ("false" if sure else None):
            return f"{self.name}: the patched pod's label sidecar.istio.io/inject is {label}"
        if self.kinds - DEBATABLE.get(self.name, set()) != sure:
            found, expected = (", ".join(sorted(kinds)) or "nothing" for kinds in (self.kinds, sure))
            return f"{self.name}: found a client of {found}, expected {expected}"
        kinds = {backend["kind"] for backend in explained["dependencies"]}
        if (explained["action"], kinds) != (self.action, self.kinds):
            return f"{self.name}: explain reports {explained['action']}, {sorted(kinds)}, unlike the server"
        return None


def pods() -> dict[str, dict[str, Any]]:
    """Return the first pod of each Deployment of eShop, as the ReplicaSet controller would create it."""
    documents = [document for path in sorted(ESHOP.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]
    return {
        document["metadata"]["name"]: pod_of(document) for document in documents if document["kind"] == "Deployment"
    }


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the pod that a Deployment creates."""
    template, name = deployment["spec"]["template"], deployment["metadata"]["name"]
    template_hash = f"{zlib.crc32(json.dumps(template).encode()):08x}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-{template_hash}-",
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"] | {"pod-template-hash": template_hash},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": f"{name}-{template_hash}",
                    "uid": f"00000000-0000-4000-8000-0000{template_hash}",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"],
    }


def ask(server: Server, name: str, pod: dict[str, Any]) -> Answer:
    """Send a pod to the server and apply the returned patch."""
    begin = time.perf_counter()
    response = server.review(pod)
    milliseconds = (time.perf_counter() - begin) * 1000
    annotations = response.get("auditAnnotations", {})
    return Answer(
        name=name,
        action=annotations.get("decision", "none"),
        kinds={kind for kind in annotations.get("dependencies", "").split(",") if kind},
        pod=jsonpatch.apply_patch(pod, operations(response)),
        milliseconds=milliseconds,
    )


def table(answers: list[Answer], explained: dict[str, dict[str, Any]]) -> Table:
    """Return a table with one row for each dependency; skipped pods come first."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("Workload", "Decision", "Talks to"):
        shown.add_column(heading, no_wrap=True)
    shown.add_column("Evidence", overflow="fold", style="dim")
    for answer in sorted(answers, key=lambda answer: (answer.action != "skip", answer.name)):
        found = explained[answer.name]
        serves = "serves " + ", ".join(found["serves"]) if found["serves"] else "nothing found but HTTP"
        rows = [(backend["kind"], evidence(backend)) for backend in found["dependencies"]] or [("", serves)]
        decision = Text(answer.action, style=STYLES.get(answer.action, "red"))
        shown.add_row(answer.name, decision, *rows[0])
        for row in rows[1:]:
            shown.add_row("", "", *row)
    return shown


def evidence(backend: dict[str, Any]) -> str:
    """Return the evidence for a backend, with the Service on a line of its own."""
    chain: str = backend["evidence"]
    return chain.replace(" → Service", "\n→ Service")


def summary(answers: list[Answer], complaints: list[str]) -> str:
    """Return the summary line."""
    counts = {action: sum(answer.action == action for answer in answers) for action in ("skip", "inherit")}
    verdict = f"{len(complaints)} not as expected" if complaints else "every answer as expected"
    median = statistics.median(answer.milliseconds for answer in answers)
    actions = ", ".join(f"{count} {action}" for action, count in counts.items())
    return f"{len(answers)} pods: {actions}; {verdict}; median answer {median:.1f} ms"


def edit(policy: Path) -> None:
    """Let the clients keep their sidecar, excluding only their datastores' ports from interception."""
    document = yaml.safe_load(policy.read_text())
    rule = document["spec"]["rules"][0]
    rule["action"] = "bypass"
    policy.write_text(yaml.safe_dump(document, sort_keys=False))


def generation(server: Server) -> str:
    """Return name and generation of the active policy."""
    policy = server.policy()
    return f"{policy['name']}/{policy['generation']}"


def show_edit(console: Console, server: Server, policy: Path, before: Answer, pod: dict[str, Any]) -> list[str]:
    """Edit the policy of the running server and show what that changes for one pod."""
    old = generation(server)
    begin = time.monotonic()
    edit(policy)
    if not server.wait_for(lambda: generation(server) != old, seconds=5):
        return [f"the edited policy is not active after {time.monotonic() - begin:.1f} s"]
    console.print(
        f"\nPolicy edited while the server runs: the first rule's action becomes bypass.\n"
        f"Active after {time.monotonic() - begin:.1f} s: {old} → {generation(server)}",
        highlight=False,
    )
    after = ask(server, before.name, pod)
    label = before.pod["metadata"]["labels"].get("sidecar.istio.io/inject")
    ports = after.pod["metadata"].get("annotations", {}).get("traffic.sidecar.istio.io/excludeOutboundPorts")
    console.print(f"  {before.name} before: {before.action:8}label sidecar.istio.io/inject={label}", highlight=False)
    console.print(f"  {before.name} after:  {after.action:8}annotation excludeOutboundPorts={ports}", highlight=False)
    if (after.action, ports) != ("bypass", "5672,6379"):
        return [f"{before.name}: after the edit the decision is {after.action} with ports {ports}"]
    return []


def run(console: Console, directory: Path) -> list[str]:
    """Run the whole demo; return what was not as expected."""
    policy = directory / "policy.yaml"
    policy.write_text(files("webhook.policy").joinpath("default.yaml").read_text())
    asked = pods()
    with Server(manifests=ESHOP, policy=policy, directory=directory) as server:
        console.print(f"sidecar-policy serves {server.url} with policy {generation(server)}\n", highlight=False)
        answers = [ask(server, name, pod) for name, pod in asked.items()]
        explained = server.explained()
        complaints = [complaint for answer in answers if (complaint := answer.complaint(explained[answer.name]))]
        if len(answers) != WORKLOADS:
            complaints.append(f"{len(answers)} Deployments in {ESHOP}, expected {WORKLOADS}")
        console.print(table(answers, explained))
        console.print(Text("\n" + summary(answers, complaints), style="bold red" if complaints else "bold green"))
        before = next(answer for answer in answers if answer.name == "basket-api")
        complaints += show_edit(console, server, policy, before, asked[before.name])
    if server.exit_code != 0:
        complaints.append(f"the server ended with exit code {server.exit_code}")
    return complaints


def picture(console: Console, path: Path) -> None:
    """Save the output as an SVG without external references."""
    svg = console.export_svg(title="make demo")
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


def main() -> int:
    """Run the demo.

    Returns:
        The exit code: 0 when every answer was as expected, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--svg", type=Path, metavar="PICTURE", help="save the output as an SVG")
    options = parser.parse_args()
    # In a pipe or a log file the table keeps its shape.
    console = Console(record=True, width=WIDTH if options.svg or not sys.stdout.isatty() else None)
    with tempfile.TemporaryDirectory(prefix="sidecar-policy-demo-") as directory:
        try:
            complaints = run(console, Path(directory))
        except DemoError as error:
            complaints = [str(error)]
    for complaint in complaints:
        print(f"not as expected: {complaint}", file=sys.stderr)
    if options.svg:
        picture(console, options.svg)
    return 1 if complaints else 0


if __name__ == "__main__":
    # On SIGTERM, stop the server too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
