"""Labelled applications: their manifests, and what a person says their workloads are clients and servers of.

A corpus is a directory of applications, each a directory with `manifests.yaml` and `labels.yaml`. The labels name
every workload of the manifests:

    app: shop
    workloads:
    - kind: Deployment
      name: cart
      namespace: shop          # only where the manifests name one
      clients: [redis]         # backends with a protocol of their own that some container connects to
      http_clients: []         # datastores that it reaches over HTTP
      serves: []               # what the pod is itself a server of
      debatable: []            # configured but not opened, or peers: neither right nor wrong
      evidence: env            # where a careful person sees it; evidence_by_kind says it kind by kind
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from webhook.inventory.manifests import ManifestError, Manifests, Workload, read

LABELS = "labels.yaml"
MANIFESTS = "manifests.yaml"
# Where a label's name of a kind is not the catalog's.
_KINDS = {"postgres": "postgresql", "mariadb": "mysql", "valkey": "redis"}


class CorpusError(Exception):
    """A corpus cannot be scored. Its text says where, what, and how to fix it."""


class Evidence(StrEnum):
    """Where a careful person sees that a workload is a client of a kind."""

    ENV = "env"
    ARGS = "args"
    CONFIGMAP_ENV = "configmap-env"
    CONFIGMAP_FILE = "configmap-file"
    SECRET = "secret"
    SERVICE_NAME_ONLY = "service-name-only"
    CODE_ONLY = "code-only"
    NONE = "none"

    @property
    def visible(self) -> bool:
        """Whether detection is expected to see it."""
        return self not in {Evidence.SERVICE_NAME_ONLY, Evidence.CODE_ONLY, Evidence.NONE}


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says of one workload.

    Attributes:
        clients: The kinds that it is a client of, each with where that is seen.
        http_clients: Datastores that it reaches over HTTP.
        serves: The kinds that it is a server of.
        debatable: Kinds that are neither right nor wrong.
        note: The person's remark, or "".
    """

    clients: Mapping[str, Evidence]
    http_clients: frozenset[str]
    serves: frozenset[str]
    debatable: frozenset[str]
    note: str


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled workload with its surroundings.

    Attributes:
        application: The application's name.
        label: What is right.
        workload: The workload.
        manifests: Its surroundings, Secrets readable.
        without_secrets: The same, Secrets not readable.
    """

    application: str
    label: Label
    workload: Workload
    manifests: Manifests
    without_secrets: Manifests


def cases_in(directory: Path) -> tuple[Case, ...]:
    """Every labelled workload of a corpus, or of the one application whose directory it is.

    Raises:
        CorpusError: There is none, or labels and manifests do not fit each other.
    """
    try:
        folders = [directory] if (directory / LABELS).exists() else sorted(directory.iterdir())
    except OSError as error:
        raise CorpusError(f"{directory}: cannot be read: {error.strerror}") from error
    cases = tuple(case for folder in folders if (folder / LABELS).exists() for case in _application(folder))
    if not cases:
        raise CorpusError(f"{directory}: no labelled application; expected <application>/{LABELS} and {MANIFESTS}")
    return cases


def _application(folder: Path) -> Iterator[Case]:
    file = folder / LABELS
    name, entries = _entries(file)
    try:
        manifests = read([str(folder / MANIFESTS)], secrets=True)
    except ManifestError as error:
        raise CorpusError(str(error)) from error
    sealed = Manifests(manifests.objects, manifests.workloads, secrets=False)
    unlabelled = list(manifests.workloads)
    for index, entry in enumerate(entries):
        where = f"{file}: workloads[{index}]"
        workload = _labelled(entry, manifests.workloads, where)
        if workload not in unlabelled:
            raise CorpusError(f"{where}: {workload.kind} {workload.name} is labelled twice")
        unlabelled.remove(workload)
        yield Case(name, _label(entry, where), workload, manifests, sealed)
    if unlabelled:
        missing = ", ".join(f"{workload.kind} {workload.name}" for workload in unlabelled)
        raise CorpusError(f"{file}: workloads: without a label: {missing}")


def _entries(file: Path) -> tuple[str, list[Any]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CorpusError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("workloads"), list):
        raise CorpusError(f"{file}: workloads: expected a list of labelled workloads")
    return str(content.get("app") or file.parent.name), content["workloads"]


def _labelled(entry: object, workloads: Sequence[Workload], where: str) -> Workload:
    """The workload that a label is about."""
    if not isinstance(entry, dict) or not {"kind", "name"} <= entry.keys():
        raise CorpusError(f"{where}: expected kind, name, clients and serves")
    found = [
        workload
        for workload in workloads
        if (workload.kind, workload.name) == (entry["kind"], entry["name"])
        and entry.get("namespace") in {None, workload.namespace}
    ]
    if len(found) != 1:
        how = "is not in the manifests" if not found else "is there more than once: add its namespace"
        raise CorpusError(f"{where}: {entry['kind']} {entry['name']} {how}")
    return found[0]


def _label(entry: Mapping[str, Any], where: str) -> Label:
    by_kind = {_kind(kind): place for kind, place in (entry.get("evidence_by_kind") or {}).items()}
    clients = _kinds(entry, "clients", where)
    return Label(
        clients={kind: _evidence(by_kind.get(kind, entry.get("evidence")), where) for kind in sorted(clients)},
        http_clients=_kinds(entry, "http_clients", where) - clients,
        serves=_kinds(entry, "serves", where),
        debatable=_kinds(entry, "debatable", where),
        note=str(entry.get("note") or ""),
    )


def _kinds(entry: Mapping[str, Any], field: str, where: str) -> frozenset[str]:
    names = entry.get(field) or []
    if not isinstance(names, list):
        raise CorpusError(f"{where}.{field}: expected a list of kinds")
    return frozenset(map(_kind, names))


def _kind(name: object) -> str:
    return _KINDS.get(str(name), str(name))


def _evidence(name: object, where: str) -> Evidence:
    try:
        return Evidence(str(name))
    except ValueError:
        raise CorpusError(f"{where}.evidence: {name} is none of {', '.join(_places())}") from None


def _places() -> Iterable[str]:
    return (place.value for place in Evidence)
