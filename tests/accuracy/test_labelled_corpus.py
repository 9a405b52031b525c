"""Detection against manifests of real applications that somebody labelled by hand.

The corpus is not part of the project: LABELLED_CORPUS names its directory, with <app>/manifests.yaml and
<app>/labels.yaml in it. Counted are pairs of a workload and a kind.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.inventory.manifests import read

CORPUS = os.environ.get("LABELLED_CORPUS")
PRODUCT_NAMES = {"postgres": "postgresql"}
INVISIBLE = {"code-only", "service-name-only", "none"}

pytestmark = pytest.mark.skipif(not CORPUS, reason="LABELLED_CORPUS names no directory")


def _kinds(names):
    return {PRODUCT_NAMES.get(name, name) for name in names or ()}


def _pairs(app):
    """Each labelled workload of an application with what detection says of it."""
    manifests = read([str(app / "manifests.yaml")], secrets=True)
    found = {(item.kind, item.name): [] for item in manifests.workloads}
    for item in manifests.workloads:
        found[item.kind, item.name].append(
            (item.namespace, detect(item.pod, item.namespace, manifests, Catalog.default()))
        )
    for labels in yaml.safe_load((app / "labels.yaml").read_text(encoding="utf-8"))["workloads"]:
        candidates = found[labels["kind"], labels["name"]]
        namespace = labels.get("namespace")
        yield labels, next((item for name, item in candidates if namespace in {None, name}), candidates[0][1])


def _count(apps):
    hits, false, visible, missed = 0, [], 0, []
    for app in apps:
        for labels, findings in _pairs(app):
            predicted = {dependency.kind for dependency in findings.dependencies}
            right = _kinds(
                [
                    name
                    for field in ("clients", "http_clients", "serves", "debatable")
                    for name in labels.get(field) or ()
                ]
            )
            evidence = labels.get("evidence_by_kind") or {}
            expected = _kinds(
                name for name in labels["clients"] if evidence.get(name, labels["evidence"]) not in INVISIBLE
            )
            hits += len(predicted & right)
            false += [(app.name, labels["name"], kind) for kind in predicted - right]
            visible += len(expected)
            missed += [(app.name, labels["name"], kind) for kind in expected - predicted]
    return hits, false, visible, missed


def _apps():
    return sorted(path for path in Path(CORPUS).iterdir() if (path / "labels.yaml").exists())


def test_precision_and_recall_over_real_applications_hold():
    hits, false, visible, missed = _count(_apps())

    assert hits / (hits + len(false)) >= 0.95, false
    assert 1 - len(missed) / visible >= 0.90, missed


def test_servers_are_known_for_what_they_serve():
    wrong = [
        (app.name, labels["name"], findings.serves)
        for app in _apps()
        for labels, findings in _pairs(app)
        if not _kinds(labels["serves"])
        <= set(findings.serves)
        <= _kinds([*labels["serves"], *(labels.get("debatable") or ())])
    ]

    assert wrong == []
