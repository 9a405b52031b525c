"""Generate the table of broken applications in docs/comparison.md from tests/mesh/comparison.yaml: `make docs`.

What sidecar-policy says is worked out anew, from the same manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from webhook.analysis.connections import by_key, connections_of, rendering_of
from webhook.analysis.workloads import decide_by
from webhook.core.decision import Confidence
from webhook.core.verdict import Verdict
from webhook.inventory.manifests import read
from webhook.policy.files import Source
from webhook.policy.load import build

PAGE = Path(__file__).with_name("comparison.md")
MESH = Path(__file__).parents[1] / "tests/mesh"
RECORD = MESH / "comparison.yaml"
POLICY = MESH / "no_rules.yaml"
"""The applications run with the sidecars that Istio gives them."""
CODES = "https://istio.io/latest/docs/reference/config/analysis"
BLOCK = re.compile(r"(?<=<!-- broken applications -->\n).*?(?=<!-- end of broken applications -->)", re.DOTALL)
RESULTS = {
    "protocol error": "the client receives `{saw}`",
    "error response": "the client receives HTTP status {saw}",
    "reset": "the connection is closed",
    "hangs": "the client gets no answer",
}
WIRES = {
    "nothing": "the server receives nothing",
    "connection": "the server's pod receives a connection without a byte",
    "plain": "the server's pod receives what the client sent",
    "mtls": "the server's pod receives mTLS",
}
DESCRIBED = {
    r"\s*Port: (.*) targets pod port \d+": r"port `\1`",
    r"\s*Workload mTLS mode: (\w+)": r"mTLS \1",
    r"WARNING: (.*)": r"\1",
}
"""The lines of `describe` about the protocol, mTLS and sidecar of an end of the connection, and their short forms."""


def written() -> dict[Path, str]:
    """Return the text of the page."""
    found = yaml.safe_load(RECORD.read_text(encoding="utf-8"))["applications"]
    page = PAGE.read_text(encoding="utf-8")
    return {PAGE: BLOCK.sub(lambda _: f"\n{table(found)}\n\n", page)}


def table(applications: dict[str, Any]) -> str:
    """Return one row for each application."""
    columns = {
        "Application": _application,
        "Seen on Envoy": _envoy,
        "`istioctl analyze`": _analyze,
        "`istioctl experimental describe`": _describe,
        "sidecar-policy": _verdict,
    }
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[cell(name, one) for cell in columns.values()] for name, one in applications.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def fault(name: str) -> str:
    """Return what is wrong with an application: the comment at the beginning of its manifests."""
    comment = re.match(r"(?:# .*\n)+", (MESH / f"broken/{name}.yaml").read_text(encoding="utf-8"))
    return " ".join(line.removeprefix("# ") for line in comment[0].splitlines()) if comment else ""


def verdict(name: str, connection: dict[str, str]) -> Verdict:
    """Return the verdict for the connection of an application, from its manifests.

    Args:
        name: The application's.
        connection: Its `client` as NAMESPACE/NAME of a Deployment, and its `server` as HOST:PORT.
    """
    inventory = read([str(MESH / f"broken/{name}.yaml")])
    policy = build([Source(POLICY.name, POLICY.read_bytes())])
    rendering = rendering_of(inventory, inventory.istio, native=True)
    decided = decide_by(policy, inventory)
    connected = by_key(connections_of(decided, inventory, policy, rendering, least=Confidence.POSSIBLE))
    namespace, _, client = connection["client"].partition("/")
    port = int(connection["server"].rpartition(":")[2])
    (found,) = (one for one in connected["Deployment", namespace, client].connections if one.port == port)
    return found.verdict


def _application(name: str, one: dict[str, Any]) -> str:
    connection = one["connection"]
    client = connection["client"].partition("/")[2]
    called = f"`{client}` calls `{connection['server']}` ({connection['protocol']})"
    return f"[{name}](../tests/mesh/broken/{name}.yaml): {fault(name)} {called}"


def _envoy(_: str, one: dict[str, Any]) -> str:
    seen = one["envoy"]
    return f"{RESULTS[seen['result']].format(**seen)}; {WIRES[seen['wire']]}"


def _analyze(_: str, one: dict[str, Any]) -> str:
    return _lines(
        f"{message['level']} [{message['code']}]({CODES}/{message['code'].lower()}/), {message['origin']}: "
        + message["message"].partition(". ")[0].rstrip(".")
        for message in one["analyze"]["cluster"]
    )


def _describe(_: str, one: dict[str, Any]) -> str:
    ends = {end: one["describe"][end] for end in ("client", "server") if end in one["describe"]}
    return _lines(f"{end}: {', '.join(_short(lines))}" for end, lines in ends.items())


def _short(lines: Iterable[str]) -> list[str]:
    matches = ((re.fullmatch(pattern, line), short) for line in lines for pattern, short in DESCRIBED.items())
    return [match.expand(short) for match, short in matches if match]


def _verdict(name: str, one: dict[str, Any]) -> str:
    found = verdict(name, one["connection"])
    where = f" at the {found.at}" if found.at else ""
    return _lines([f"`{found.code}`: {found.outcome}{where}", *found.evidence[-1:]])


def _lines(lines: Iterable[str]) -> str:
    return "<br>".join(line.replace("|", r"\|") for line in lines) or "-"


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
