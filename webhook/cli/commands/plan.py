"""`plan`: what a proposed policy would change, before it is active."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from webhook.cli.command import Command
from webhook.cli.exits import PlanExitCode
from webhook.cli.inputs import (
    Filenames,
    NamespaceLabels,
    Question,
    Secrets,
    conclude,
    load_policy,
    read_inventory,
)
from webhook.cli.live import Cluster, LiveFlag, LiveKubeconfig, Namespace
from webhook.cli.options import Context, Format, NativeSidecars, write
from webhook.cli.unread import istio_of


class PlanCommand(Command):
    """A command whose exit code 2 means "something would change", and whose usage errors have another one."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - typer keeps its types private
        """Read the command line."""
        try:
            return super().make_context(*arguments, **named)
        except TyperException as error:
            raise _as_wrong_usage(error) from None

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the same
        """Run the command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            raise _as_wrong_usage(error) from None


def _as_wrong_usage(error: Exception) -> Exception:
    if getattr(error, "exit_code", None) == 2:
        vars(error)["exit_code"] = int(PlanExitCode.WRONG_USAGE)
    return error


def plan(  # noqa: PLR0913 - one parameter for each option
    *,
    new_policy: Annotated[
        Path, typer.Argument(metavar="NEW_POLICY", help="The proposed policy: a file or directory.", show_default=False)
    ],
    filename: Filenames = None,
    live: LiveFlag = False,
    kubeconfig: LiveKubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="The current policy. [default: the built-in policy]"),
    ] = None,
    secrets: Secrets = False,
    namespace_label: NamespaceLabels = None,
    native_sidecars: NativeSidecars = True,
    output: Annotated[Format, typer.Option("--output", "-o", help="The output format.")] = Format.TABLE,
) -> None:
    """Show what another policy would change: in manifests, or in a live cluster with its running pods.

    The workloads whose decision would change, with rule and evidence; the connections that would break, flow again, or
    lose mutual TLS, also those of other clients; the impact where a pod would lose its sidecar while Istio's
    configuration relies on it; the pods that differ from the policy, and the commands that restart them.

    Exit codes: 0 nothing would change; 2 something would; 1 usage error; 3 something could not be read.
    """
    from webhook.analysis.plan.plan import plan_of
    from webhook.cli.render.plan import as_json, as_yaml, show

    cluster = Cluster.of(live=live, kubeconfig=kubeconfig, context=context, namespace=namespace)
    question = Question.of(
        None, filename, policy, secrets=secrets, namespace_labels=namespace_label, cluster=cluster, whole=True
    )
    now, then = load_policy(question.policy), load_policy(new_policy)
    inventory = read_inventory(question, now, then)
    found = plan_of(now, then, inventory, istio_of(inventory), native=native_sidecars)
    for pod_namespace, pod in found.left_out:
        typer.echo(f"note: pod {pod_namespace}/{pod} skipped: unexpected field type", err=True)
    write(output, found, as_json=as_json, as_yaml=as_yaml, show=show)
    conclude(inventory)
    if found.changes:
        raise typer.Exit(PlanExitCode.CHANGES)
