"""`check`: whether one connection works, hop by hop."""

from __future__ import annotations

from typing import Annotated

import typer

from webhook.cli.exits import ExitCode
from webhook.cli.inputs import (
    Filenames,
    NamespaceLabels,
    PolicyFile,
    Question,
    Secrets,
    conclude,
    load_policy,
    read_inventory,
)
from webhook.cli.live import Cluster, LiveFlag, LiveKubeconfig
from webhook.cli.options import Context, Format, NativeSidecars, write
from webhook.cli.unread import istio_of


def check(  # noqa: PLR0913 - one parameter for each option
    *,
    client: Annotated[
        str,
        typer.Argument(metavar="CLIENT", help="The workload that calls: [KIND/]NAME[.NAMESPACE].", show_default=False),
    ],
    server: Annotated[
        str,
        typer.Argument(
            metavar="SERVER[:PORT]",
            help="A Service or a host as the client calls it, or a workload as KIND/NAME[.NAMESPACE].",
            show_default=False,
        ),
    ],
    filename: Filenames = None,
    live: LiveFlag = False,
    kubeconfig: LiveKubeconfig = None,
    context: Context = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="The namespace of the client.", show_default=False)
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="PROTOCOL",
            help="What is spoken: http1, http2, tls, client-first, request-like, server-first, or a kind of backend "
            "(mysql). Default: what the client's configuration, the image behind the Service or the port says.",
        ),
    ] = None,
    policy: PolicyFile = None,
    secrets: Secrets = False,
    namespace_label: NamespaceLabels = None,
    native_sidecars: NativeSidecars = True,
    output: Annotated[Format, typer.Option("--output", "-o", help="The output format.")] = Format.TABLE,
) -> None:
    """Show what becomes of one connection: at the client's sidecar, on the way, and at the server's.

    With --live, pods are judged as they run; in manifests, as they would be created under the policy.

    Exit codes: 0 it flows; 1 it does not; 2 usage error; 3 it is not known, or something could not be read.
    """
    from webhook.analysis.check import Checker, CheckError
    from webhook.analysis.connections import rendering_of
    from webhook.analysis.workloads import decide_by
    from webhook.cli.render import checks
    from webhook.core.verdict import Outcome

    cluster = Cluster.of(live=live, kubeconfig=kubeconfig, context=context, namespace=None)
    question = Question.of(
        None, filename, policy, secrets=secrets, namespace_labels=namespace_label, cluster=cluster, whole=True
    )
    compiled = load_policy(question.policy)
    inventory = read_inventory(question, compiled)
    rendering = rendering_of(inventory, istio_of(inventory), native=native_sidecars)
    checker = Checker(decide_by(compiled, inventory), inventory, compiled.catalog, rendering, as_they_run=live)
    try:
        found = checker.check(client, server, namespace=namespace, protocol=protocol)
    except CheckError as error:
        raise typer.BadParameter(str(error)) from None
    write(output, found, as_json=checks.as_json, as_yaml=checks.as_yaml, show=checks.show)
    conclude(inventory)
    if found.verdict.outcome is not Outcome.FLOWS:
        unknown = found.verdict.outcome is Outcome.UNKNOWN
        raise typer.Exit(ExitCode.UNREADABLE if unknown else ExitCode.NEGATIVE)
