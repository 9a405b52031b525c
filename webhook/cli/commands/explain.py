"""`explain`: the decision for every workload in manifests or a live cluster, and what led to it."""

from __future__ import annotations

from typing import Annotated

import typer

from webhook.cli.decided import (
    Filenames,
    Files,
    NamespaceLabels,
    PolicyFile,
    Question,
    Secrets,
    conclude,
    decide_all,
    why_not_all,
)
from webhook.cli.live import Cluster, Context, Kubeconfig, LiveFlag, Namespace
from webhook.cli.options import Format


def explain(  # noqa: PLR0913 - one parameter for each option
    *,
    files: Files = None,
    filename: Filenames = None,
    live: LiveFlag = False,
    kubeconfig: Kubeconfig = None,
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
    output: Annotated[Format, typer.Option("--output", "-o", help="The output format.")] = Format.TABLE,
) -> None:
    """Show the decision for every workload in manifests or a live cluster, and the evidence for it.

    On a terminal the table is laid out for people; in a pipe it is one line for each workload, with columns that
    start at the same place.
    """
    cluster = Cluster.of(live=live, kubeconfig=kubeconfig, context=context, namespace=namespace)
    question = Question.of(files, filename, policy, secrets=secrets, namespace_labels=namespace_label, cluster=cluster)
    if why_not is not None:
        _explain_why_not(question, why_not, output)
        return
    manifests, decided = decide_all(question)

    from webhook.cli.render import decisions

    if output is Format.JSON:
        typer.echo(decisions.as_json(decided))
    elif output is Format.YAML:
        typer.echo(decisions.as_yaml(decided), nl=False)
    elif decided:
        decisions.show(decided)
    conclude(manifests)


def _explain_why_not(question: Question, kind: str, output: Format) -> None:
    manifests, answered = why_not_all(question, kind)

    from webhook.cli.render import whynot

    if output is Format.JSON:
        typer.echo(whynot.as_json(answered))
    elif output is Format.YAML:
        typer.echo(whynot.as_yaml(answered), nl=False)
    elif answered:
        typer.echo(whynot.as_text(answered))
    conclude(manifests)
