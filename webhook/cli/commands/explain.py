"""`explain`: the decision for every workload in manifests or a live cluster, and what led to it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer

from webhook.cli.inputs import (
    Filenames,
    Files,
    NamespaceLabels,
    PolicyFile,
    Question,
    Secrets,
    conclude,
    load_policy,
    read_inventory,
)
from webhook.cli.live import Cluster, LiveFlag, LiveKubeconfig, Namespace
from webhook.cli.options import Context, Format, NativeSidecars, write
from webhook.cli.unread import istio_of


def explain(  # noqa: PLR0913 - one parameter for each option
    *,
    files: Files = None,
    filename: Filenames = None,
    live: LiveFlag = False,
    kubeconfig: LiveKubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    policy: PolicyFile = None,
    secrets: Secrets = False,
    namespace_label: NamespaceLabels = None,
    why_not: Annotated[
        str | None,
        typer.Option(
            "--why-not",
            metavar="KIND",
            help="Show why each workload is not detected as a client of this kind of backend, instead of the "
            "decisions.",
        ),
    ] = None,
    native_sidecars: NativeSidecars = True,
    output: Annotated[Format, typer.Option("--output", "-o", help="The output format.")] = Format.TABLE,
) -> None:
    """Show the decision for every workload in manifests or a live cluster, the evidence for it, and its connections.

    Each connection has a verdict: whether it flows, and if not, at which end it breaks (docs/connections.md).

    On a terminal the table is laid out for people; in a pipe it is one line for each workload, with columns that
    start at the same place.
    """
    from webhook.analysis.connections import connections_of, rendering_of
    from webhook.analysis.workloads import decide_by, why_not_by
    from webhook.cli.render import decisions, whynot
    from webhook.core.decision import Confidence

    cluster = Cluster.of(live=live, kubeconfig=kubeconfig, context=context, namespace=namespace)
    question = Question.of(
        files, filename, policy, secrets=secrets, namespace_labels=namespace_label, cluster=cluster, whole=True
    )
    compiled = load_policy(question.policy)
    if why_not is not None:
        _check_kind(why_not, compiled.catalog.kinds)
    inventory = read_inventory(question, compiled)
    if why_not is not None:
        answered = why_not_by(compiled, inventory, why_not)
        write(output, answered, as_json=whynot.as_json, as_yaml=whynot.as_yaml, show=whynot.show)
    else:
        rendering = rendering_of(inventory, istio_of(inventory), native=native_sidecars)
        decided = connections_of(
            decide_by(compiled, inventory), inventory, compiled, rendering, least=Confidence.POSSIBLE
        )
        write(output, decided, as_json=decisions.as_json, as_yaml=decisions.as_yaml, show=decisions.show)
    conclude(inventory)


def _check_kind(kind: str, kinds: Collection[str]) -> None:
    from webhook.problem import did_you_mean

    if kind not in kinds:
        hint = did_you_mean(kind, kinds) or f"valid values: {', '.join(sorted(kinds))}"
        raise typer.BadParameter(f"unknown kind {kind!r} ({hint})", param_hint="--why-not")
