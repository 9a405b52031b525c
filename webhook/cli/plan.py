"""`plan`: what another policy would change, before it is in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from webhook.cli.command import Command
from webhook.cli.decided import (
    Decided,
    Filenames,
    NamespaceLabels,
    Question,
    Secrets,
    conclude,
    decide_by,
    load_policy,
    read_inventory,
)
from webhook.cli.exits import PlanExitCode
from webhook.cli.format import Format
from webhook.cli.live import Cluster, Context, Kubeconfig, LiveFlag, Namespace

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.cli.decided import Inventory
    from webhook.core.drift import Drifted
    from webhook.plan.changes import Change
    from webhook.plan.consequences import Warned
    from webhook.policy.load import CompiledPolicy


class PlanCommand(Command):
    """Keeps exit code 2 for "something would change", so that wrong usage cannot be taken for it."""

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
        Path, typer.Argument(metavar="NEW_POLICY", help="The policy file or directory to plan for.", show_default=False)
    ],
    filename: Filenames = None,
    live: LiveFlag = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="The policy in force now. [default: the packaged policy]"),
    ] = None,
    secrets: Secrets = False,
    namespace_label: NamespaceLabels = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print.")] = Format.TABLE,
) -> None:
    """Show what another policy would change: in manifests, or in a live cluster with what runs there.

    The workloads for which another thing would be done, by which rule and evidence; the pods that run otherwise than
    they would be created, and the commands that restart them; and what comes of it where a pod would lose its sidecar
    while Istio's configuration counts on it.

    Exit codes: 0 nothing would change; 2 something would; 1 wrong usage; 3 something could not be read.
    """
    from webhook.cli import render_plan

    cluster = Cluster.of(live=live, kubeconfig=kubeconfig, context=context, namespace=namespace)
    question = Question.of(
        None, filename, policy, secrets=secrets, namespace_labels=namespace_label, cluster=cluster, whole=True
    )
    now, then = load_policy(question.policy), load_policy(new_policy)
    inventory = read_inventory(question, secrets=secrets or now.read_secrets or then.read_secrets)
    before, after = decide_by(now, inventory), decide_by(then, inventory)
    found = render_plan.Plan(
        now=now.version,
        then=then.version,
        changes=_changes(before, after),
        restarts_now=list(_drifted(inventory, now)),
        restarts_then=list(_drifted(inventory, then)),
        consequences=list(_consequences(inventory, then, before, after)),
    )
    if output is Format.JSON:
        typer.echo(render_plan.as_json(found))
    elif output is Format.YAML:
        typer.echo(render_plan.as_yaml(found), nl=False)
    else:
        render_plan.show(found)
    conclude(inventory)
    if found.changes:
        raise typer.Exit(PlanExitCode.CHANGES)


def _compared(before: Sequence[Decided], after: Sequence[Decided]) -> Iterator[Change]:
    from webhook.plan.changes import Change

    for one, other in zip(before, after, strict=True):
        workload = one.workload
        yield Change(workload.kind, workload.namespace, workload.name, workload.pod, one.decision, other.decision)


def _changes(before: Sequence[Decided], after: Sequence[Decided]) -> list[Change]:
    from webhook.plan.changes import changes

    return changes(_compared(before, after))


def _drifted(inventory: Inventory, policy: CompiledPolicy) -> Iterator[Drifted]:
    import msgspec

    from webhook.core.drift import drifted
    from webhook.core.pod import Pod

    for running in inventory.running:
        document = running.document()
        try:
            pod = msgspec.convert(document, Pod)
        except msgspec.ValidationError:
            typer.echo(f"note: pod {running.namespace}/{running.name} is not understood and left out", err=True)
            continue
        found = drifted(pod, document, surroundings=inventory, policy=policy)
        if found is not None:
            yield found


def _consequences(
    inventory: Inventory, policy: CompiledPolicy, before: Sequence[Decided], after: Sequence[Decided]
) -> Iterator[Warned]:
    from webhook.cli.picture import istio_of
    from webhook.core.sidecar import gets_sidecar
    from webhook.detection.called import called
    from webhook.plan.consequences import Consequences, Party

    istio = istio_of(inventory)
    losing = {(one.kind, one.namespace, one.name) for one in _compared(before, after) if one.loses_sidecar}
    parties = []
    for decided in after:
        workload = decided.workload
        key = workload.kind, workload.namespace, workload.name
        calls = called(workload.pod, workload.namespace, inventory, policy.catalog) if key in losing else {}
        parties.append(Party(*key, workload.pod, gets_sidecar(workload.pod, decided.decision), calls))
    consequences = Consequences(parties, inventory, istio)
    for party in parties:
        if (party.kind, party.namespace, party.name) in losing:
            yield from consequences.of(party)
