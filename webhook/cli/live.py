"""Read a live cluster once, with the permissions of the caller of the command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli.exits import ExitCode

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.inventory.snapshot import Snapshot

LiveFlag = Annotated[
    bool, typer.Option("--live", help="Read a live cluster, with your own permissions, instead of files.")
]
LiveKubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="With --live: the kubeconfig. [default: as kubectl; in a pod without a kubeconfig, in-cluster "
        "configuration]",
        show_default=False,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="With --live: the namespace to read. [default: all namespaces]"),
]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster to read.

    Attributes:
        kubeconfig: The file, or None for the one that kubectl would use.
        context: The context in it, or None for its current one.
        namespace: The namespace whose workloads are read, or None for all.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None

    @classmethod
    def of(cls, *, live: bool, kubeconfig: Path | None, context: str | None, namespace: str | None) -> Cluster | None:
        """Build it from the options; return None without --live.

        Raises:
            typer.BadParameter: One of them is given without --live.
        """
        if live:
            return cls(kubeconfig, context, namespace)
        given = {"--kubeconfig": kubeconfig, "--context": context, "--namespace": namespace}
        for option, value in given.items():
            if value is not None:
                raise typer.BadParameter("can only be used with --live", param_hint=option)
        return None


def read_live(cluster: Cluster, *, secrets: bool, whole: bool) -> Snapshot:
    """Read a snapshot of a cluster.

    Args:
        cluster: The cluster.
        secrets: Read the values of Secrets too.
        whole: Read Istio's configuration too.

    Raises:
        typer.Exit: With `ExitCode.UNREADABLE`, after printing the reason.
    """
    import asyncio

    from webhook.cluster.client import connect
    from webhook.cluster.errors import ClusterError, NoClusterError
    from webhook.inventory.snapshot import read

    try:
        client = connect(cluster.kubeconfig or _as_kubectl(), cluster.context)
        return asyncio.run(read(client, namespace=cluster.namespace, secrets=secrets, whole=whole))
    except (NoClusterError, ClusterError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.UNREADABLE) from None


def _as_kubectl() -> Path | None:
    """Return the kubeconfig that kubectl would use; of several in KUBECONFIG the first that exists."""
    listed = os.environ.get("KUBECONFIG", "")
    named = [Path(part).expanduser() for part in listed.split(os.pathsep) if part]
    usual = named or [Path.home() / ".kube" / "config"]
    return next((path for path in usual if path.exists()), named[0] if named else None)
