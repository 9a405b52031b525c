"""Workloads of every kind that makes pods, and what their controllers need here to do it at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from api import Api, Object

_YEARLY = "0 0 1 1 *"


def node(name: str, version: str) -> Object:
    """A Node that no kubelet runs on; for each there is, the DaemonSet controller creates a pod.

    Args:
        name: Its name.
        version: What its kubelet says to be. istiod renders native sidecars only if every node is new enough.
    """
    status = {"nodeInfo": {"kubeletVersion": version}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def _selecting(kind: str, name: str, spec: Object, **fields: object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": _template(name, spec), **fields},
    }


def _template(name: str, spec: Object) -> Object:
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def job(name: str, spec: Object) -> Object:
    """A Job of one pod."""
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": _job_spec(name, spec)}


def cron_job(name: str, spec: Object) -> Object:
    """A CronJob that is due once a year."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": _YEARLY, "jobTemplate": {"spec": _job_spec(name, spec)}},
    }


def _job_spec(name: str, spec: Object) -> Object:
    return {"template": _template(name, spec | {"restartPolicy": "Never"})}


def overdue(api: Api, name: str, namespace: str) -> None:
    """Let a CronJob have missed its last date, so that its controller makes up for it now, and once."""
    last = datetime.now(UTC) - timedelta(days=370)
    status = {"status": {"lastScheduleTime": last.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    api.merge("batch/v1/CronJob", f"{name}/status", status, namespace)


KINDS: dict[str, Callable[[str, Object], Object]] = {
    "Deployment": partial(_selecting, "Deployment"),
    "ReplicaSet": partial(_selecting, "ReplicaSet"),
    "StatefulSet": lambda name, spec: _selecting("StatefulSet", name, spec, serviceName=name),
    "DaemonSet": partial(_selecting, "DaemonSet"),
    "Job": job,
    "CronJob": cron_job,
}
"""For each kind, a function from a name and a pod's spec to the workload; its pods have the label app=NAME."""
