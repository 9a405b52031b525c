"""Generate reviews: real pods, made hostile by recipes that know what a pod means and by mutations that do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from hostile_text import CANARY, INVALID_UTF8, SUBSTITUTES, count, credential, scalar, text, unfolding
from hostile_world import CONFIG_MAPS, KEYS, NAMESPACES, SECRETS, SERVICES, Object

from webhook.inventory.manifests import Manifests

_DIGITS = "@@digits@@"
_NESTED = "@@nested@@"
_ISTIO = ("istio-proxy", "istio-init", "istio-validation", "enable-core-dump")
_ANNOTATIONS = (
    *("sidecar.istio.io/inject", "sidecar.istio.io/status", "sidecar-policy.dev/decision", "sidecar-policy.dev/rule"),
    *(
        "sidecar-policy.dev/authors-label",
        "sidecar-policy.dev/reason",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        "a/b~c",
        "kubectl.kubernetes.io/x",
    ),
    *("traffic.sidecar.istio.io/includeOutboundPorts", "istio.io/rev", "inject.istio.io/templates"),
)
_SAID = ("", "true", "false", "{}", "skip", "inject", "bypass", "*", "6379,*", "1-2, 6379", "default", "null", "[", "é")


@dataclass(frozen=True, slots=True)
class Generated:
    """One review.

    Attributes:
        body: The bytes of the AdmissionReview.
        uid: The uid that an answer has to repeat; None where the request was changed as a whole.
    """

    body: bytes
    uid: str | None


class Reviews:
    """Generate reviews from real pods; the same seed and number give the same review."""

    def __init__(self, manifests: Manifests) -> None:
        """Encode the pods of real workloads as reviews."""
        self._bases = [msgspec.json.encode(_review(one)) for one in manifests.workloads if one.pod.spec.containers]

    def make(self, random: Random) -> Generated:
        """Make one review."""
        review = msgspec.json.decode(random.choice(self._bases))
        request = review["request"]
        uid = request["uid"] = f"{random.getrandbits(64):016x}"
        if random.random() < 0.7:
            request["namespace"] = random.choice(NAMESPACES)
        recipes = random.sample(_RECIPES, min(count(random), 3)) if random.random() < 0.8 else ()
        for recipe in recipes:
            recipe(random, request["object"])
        drawn = random.random()
        if drawn < 0.4:
            self._mutate(random, request, "object")
        elif drawn < 0.43:
            self._mutate(random, review, "request")
            uid = None
        body = _substituted(msgspec.json.encode(review))
        # A byte may end a password's quotes or turn a separator into a host, so these have no canary.
        if drawn > 0.93 and CANARY.encode() not in body:
            return Generated(damaged(random, body), None)
        return Generated(body, uid)

    def _mutate(self, random: Random, parent: Object, key: str) -> None:
        for _ in range(1 + int(random.expovariate(0.7))):
            if key in parent and (where := _pick(random, parent, key)) is not None:
                random.choice(_MUTATIONS)(random, *where, self._bases)


def _review(workload: Any) -> Object:
    pod = msgspec.to_builtins(workload.pod)
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    user = {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"]}
    request = {"uid": "", "kind": kind, "requestKind": kind, "operation": "CREATE", "namespace": workload.namespace}
    request |= {"userInfo": user, "object": {"apiVersion": "v1", "kind": "Pod"} | _without_none(pod), "dryRun": False}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def _without_none(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_none(value) for key, value in node.items() if value is not None}
    return [_without_none(one) for one in node] if isinstance(node, list) else node


def _substituted(body: bytes) -> bytes:
    if b"@@" in body:
        for mark, raw in SUBSTITUTES.items():
            body = body.replace(mark.encode(), raw)
        body = body.replace(b'"%s"' % _DIGITS.encode(), b"1" * 400)
        depth = 200 + len(body) % 4_000
        body = body.replace(b'"%s"' % _NESTED.encode(), b"[" * depth + b"]" * depth)
    return body


# Recipes: each makes a well-formed pod hostile in one way.


def _container(random: Random, pod: Object) -> Object:
    return random.choice(pod["spec"]["containers"])


def _variables(random: Random, pod: Object) -> None:
    env = _container(random, pod).setdefault("env", [])
    named = random.choice(("A_HOST", "REDIS_URL", "DB_PORT", "ConnectionString", "a", "", "NO_PROXY", "KAFKA_ENABLED"))
    env += [{"name": f"{named}{i or ''}", "value": text(random)} for i in range(min(count(random), 3_000))]


def _chain(random: Random, pod: Object) -> None:
    """Variables that refer to those before, so that their values double, or to each other in a circle."""
    width, names = random.randint(1, 4), [f"V{i}" for i in range(min(count(random), 400))]
    circle = random.random() < 0.3
    _container(random, pod)["env"] = [
        {"name": name, "value": "redis:6379 " if not i and not circle else f"$({names[i - 1]})" * width}
        for i, name in enumerate(names)
    ]


def _references(random: Random, pod: Object) -> None:
    env = _container(random, pod).setdefault("env", [])
    for _ in range(min(count(random), 40)):
        kind, names = random.choice((("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)))
        reference = {"name": random.choice(names), "key": random.choice(KEYS)}
        env.append({"name": f"REF_{random.choice(KEYS)}", "valueFrom": {kind: reference}})
    _container(random, pod)["envFrom"] = [
        {"prefix": random.choice(("", "P_", "é")), "configMapRef": {"name": random.choice(CONFIG_MAPS)}},
        {"secretRef": {"name": random.choice(SECRETS), "optional": True}},
    ]


def _mounts(random: Random, pod: Object) -> None:
    """One volume, mounted often."""
    sources: tuple[Object, ...] = (
        {"configMap": {"name": random.choice(CONFIG_MAPS)}},
        {"secret": {"secretName": random.choice(SECRETS)}},
        {"projected": {"sources": [{"configMap": {"name": name}} for name in CONFIG_MAPS]}},
        {"configMap": {"name": random.choice(CONFIG_MAPS), "items": [{"key": key, "path": "../x"} for key in KEYS]}},
    )
    pod["spec"].setdefault("volumes", []).append({"name": "hostile", **random.choice(sources)})
    for container in pod["spec"]["containers"]:
        container.setdefault("volumeMounts", []).extend(
            {"name": "hostile", "mountPath": f"/m{i}", **random.choice(({}, {"subPath": random.choice(KEYS)}))}
            for i in range(min(count(random), 100))
        )


def _command(random: Random, pod: Object) -> None:
    container = _container(random, pod)
    lines = [text(random) for _ in range(min(count(random), 50))]
    if random.random() < 0.4:
        lines = ["sh", "-c", "\n".join(lines)]
    match random.randrange(4):
        case 0:
            container["command"] = lines
        case 1:
            container["args"] = lines
        case 2:
            container["livenessProbe"] = {"exec": {"command": lines}}
        case _:
            container["lifecycle"] = {"postStart": {"exec": {"command": lines}}}


def _proxy_config(random: Random, pod: Object) -> None:
    pod["metadata"].setdefault("annotations", {})["proxy.istio.io/config"] = unfolding(random)


def _forged(random: Random, pod: Object) -> None:
    """Traces of Istio and of this webhook that the author wrote."""
    annotations = pod["metadata"].setdefault("annotations", {})
    annotations |= {name: random.choice(_SAID) for name in random.sample(_ANNOTATIONS, random.randint(1, 5))}
    if random.random() < 0.5:
        pod["metadata"].setdefault("labels", {})["sidecar.istio.io/inject"] = random.choice(_SAID)
    if random.random() < 0.3:
        field = random.choice(("containers", "initContainers"))
        pod["spec"].setdefault(field, []).append({"name": random.choice(_ISTIO), "image": "proxyv2", "args": ["proxy"]})


def _many(random: Random, pod: Object) -> None:
    containers = pod["spec"]["containers"]
    containers += [containers[0] | {"name": f"c{i}"} for i in range(min(count(random), 100))]
    labels = pod["metadata"].setdefault("labels", {})
    labels |= {f"l{i}": random.choice(SERVICES) for i in range(min(count(random), 500))}


def _owner(random: Random, pod: Object) -> None:
    name = random.choice(("web-7d9f", "nightly-27391440", "a" * count(random), ""))
    kind = random.choice(("ReplicaSet", "Job", "StatefulSet", "DaemonSet", "Rollout", "", "é"))
    pod["metadata"]["ownerReferences"] = [{"kind": kind, "name": name, "controller": True, "uid": "u"}] * 2


def _long(random: Random, pod: Object) -> None:
    """Names of any length, where the API server asks for no valid ones or whoever asks is not the API server."""
    name = random.choice("ab") * random.choice((300, 70_000, 300_000))
    match random.randrange(5):
        case 0:
            _container(random, pod)["image"] = name
        case 1:
            pod["spec"]["serviceAccountName"] = name
        case 2:
            pod["metadata"]["ownerReferences"] = [{"kind": "Job", "name": name, "controller": True, "uid": "u"}]
        case 3:
            _container(random, pod)["envFrom"] = [{"configMapRef": {"name": name}}]
        case _:
            _container(random, pod).setdefault("env", []).append({"name": name, "value": "redis:6379"})


def _bare(random: Random, pod: Object) -> None:
    for field in ("labels", "annotations", "generateName", "ownerReferences"):
        if random.random() < 0.5:
            pod["metadata"].pop(field, None)


def _credentials(random: Random, pod: Object) -> None:
    container = _container(random, pod)
    secret = credential(random)
    match random.randrange(4):
        case 0:
            container.setdefault("args", []).append(secret)
        case 1:
            container["command"] = ["sh", "-c", secret]
        case 2:
            container.setdefault("env", []).append({"name": "DB_PASSWORD", "value": CANARY})
        case _:
            name = random.choice(("DATABASE_URL", "ConnectionString", "a"))
            container.setdefault("env", []).append({"name": name, "value": secret})


Recipe = Callable[[Random, Object], None]
_RECIPES: tuple[Recipe, ...] = (
    *(_variables, _chain, _references, _mounts, _command, _proxy_config),
    *(_forged, _many, _owner, _long, _bare, _credentials),
)

# Mutations: each changes one node, whatever it is.


def _pick(random: Random, parent: Any, key: Any) -> tuple[Any, Any] | None:
    """Walk down to some node; one that holds a credential stays as it is, for the password could become a host."""
    while True:
        child = parent[key]
        if _holds_canary(parent) or _holds_canary(child):
            return None
        if not isinstance(child, (dict, list)) or not child or random.random() < 0.12:
            return parent, key
        parent, key = child, random.choice(list(child)) if isinstance(child, dict) else random.randrange(len(child))


def _holds_canary(node: Any) -> bool:
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else (node,)
    return any(isinstance(value, str) and CANARY in value for value in values)


def _drop(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    del parent[key]


def _duplicate(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    if isinstance(parent, list):
        parent[key:key] = [parent[key]] * min(count(random), 50)
    else:
        parent[text(random)] = parent[key]


def _retype(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    parent[key] = scalar(random)


def _rewrite(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    parent[key] = text(random)


def _unreadable(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    parent[key] = random.choice((_DIGITS, _NESTED, INVALID_UTF8, *SUBSTITUTES))


def _nest(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    for _ in range(min(count(random), 100)):
        parent[key] = [parent[key]] if random.random() < 0.5 else {"a": parent[key]}


def _graft(random: Random, parent: Any, key: Any, bases: Sequence[bytes]) -> None:
    """Put a node of another pod there."""
    donor = msgspec.json.decode(random.choice(bases))
    if (found := _pick(random, donor["request"], "object")) is not None:
        parent[key] = found[0][found[1]]


_MUTATIONS = (_drop, _duplicate, _retype, _rewrite, _rewrite, _unreadable, _nest, _graft)


_INSERTED = (b'"', b"\\", b"{", b"]", b",", b"\xff", b"\\ud800", b"\x00", b"1e999", b"-")


def damaged(random: Random, body: bytes) -> bytes:
    """The same bytes with a few flipped, cut out, doubled or put in."""
    found = bytearray(body)
    for _ in range(1 + int(random.expovariate(0.5))):
        at = random.randrange(len(found) + 1)
        match random.randrange(5):
            case 0:
                found[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del found[at : at + count(random)]
            case 2:
                found[at:at] = found[at : at + count(random)]
            case 3:
                found[at:at] = random.choice(_INSERTED)
            case _:
                del found[at:]
        if not found:
            break
    return bytes(found)
