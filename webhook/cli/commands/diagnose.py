"""`diagnose`: problems of Services, webhooks and sidecars, each with a suggested fix."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from webhook.cli.exits import ExitCode
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
from webhook.cli.options import Context, NativeSidecars, write
from webhook.cli.unread import istio_of, leave_out


class Format(StrEnum):
    """The output format of findings."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    COMMANDS = "commands"


def diagnose(  # noqa: PLR0913 - one parameter for each option
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
    native_sidecars: NativeSidecars = True,
    output: Annotated[
        Format,
        typer.Option("--output", "-o", help="The output format; commands: only the commands that fix the findings."),
    ] = Format.TABLE,
) -> None:
    """Find what breaks behind a sidecar, in manifests or a live cluster, and suggest fixes.

    Connections that do not flow, by cause: Services' ports declared as a protocol that they do not speak, ports that
    another Service takes, servers that refuse plaintext, sidecars that start too late or end too early; webhooks in the
    wrong order, and two injectors for one namespace. In a live cluster pods are judged as they run.

    Exit codes: 0 nothing is wrong (findings of severity info are possible); 1 errors or warnings; 2 usage
    error; 3 something could not be read.
    """
    from webhook.analysis.diagnose.diagnose import diagnose as find
    from webhook.analysis.diagnose.finding import Severity
    from webhook.analysis.diagnose.gather import picture_of, unread_webhooks
    from webhook.analysis.workloads import decide_by
    from webhook.cli.render.findings import as_json, as_yaml, show, show_commands

    cluster = Cluster.of(live=live, kubeconfig=kubeconfig, context=context, namespace=namespace)
    question = Question.of(
        files, filename, policy, secrets=secrets, namespace_labels=namespace_label, cluster=cluster, whole=True
    )
    compiled = load_policy(question.policy)
    inventory = read_inventory(question, compiled)
    decided = decide_by(compiled, inventory)
    istio = istio_of(inventory)
    leave_out(inventory, unread_webhooks(inventory))
    picture = picture_of(
        inventory, istio, compiled, decided, namespace=namespace, native=native_sidecars, as_they_run=live
    )
    findings = find(picture)
    if output is Format.COMMANDS:
        show_commands(findings)
    else:
        write(output, findings, as_json=as_json, as_yaml=as_yaml, show=show)
    conclude(inventory)
    if any(finding.severity is not Severity.INFO for finding in findings):
        raise typer.Exit(ExitCode.NEGATIVE)
