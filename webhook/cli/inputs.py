"""The input of commands: the options that select it, and how policy, manifests or a live cluster are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from webhook.cli.exits import ExitCode
from webhook.cli.live import Cluster, read_live

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.analysis.workloads import Inventory
    from webhook.inventory.manifests import Manifests
    from webhook.inventory.snapshot import Snapshot
    from webhook.policy.load import CompiledPolicy
    from webhook.problem import Problem

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="The same as -f FILE.", show_default=False),
]
Filenames = Annotated[
    list[str] | None,
    typer.Option(
        "--filename", "-f", metavar="FILE", help="A file, a directory, or - for standard input; may be repeated."
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="A policy file or directory, instead of the default policy."),
]
Secrets = Annotated[
    bool,
    typer.Option("--secrets", help="Also read Secrets in the manifests. Their values are never shown."),
]
NamespaceLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace-label",
        metavar="KEY=VALUE",
        help="A label of the namespaces whose Namespace object is missing; may be repeated. "
        "By default they are assumed to be in the mesh.",
    ),
]


@dataclass(frozen=True, slots=True)
class Question:
    """The input that the user selects with options.

    Attributes:
        files: Files, directories and "-", in order.
        policy: The policy file, or None for the default policy.
        secrets: Whether Secrets may be read.
        namespace_labels: Labels of the namespaces without a Namespace object; None for the default.
        cluster: The live cluster instead of files, or None.
        whole: Whether to read Istio's own configuration in the cluster, too.
    """

    files: Sequence[str]
    policy: Path | None
    secrets: bool
    namespace_labels: Mapping[str, str] | None
    cluster: Cluster | None = None
    whole: bool = False

    @classmethod
    def of(
        cls,
        arguments: Iterable[str] | None,
        options: Iterable[str] | None,
        policy: Path | None,
        *,
        secrets: bool,
        namespace_labels: Iterable[str] | None,
        cluster: Cluster | None = None,
        whole: bool = False,
    ) -> Question:
        """Build it from the values of the command line.

        Raises:
            typer.BadParameter: No file is given, or one together with a cluster, or a label has no "=".
        """
        files = [*(options or ()), *(arguments or ())]
        if cluster is not None and (files or namespace_labels):
            raise typer.BadParameter("cannot be combined with files", param_hint="--live")
        if not files and cluster is None:
            raise typer.BadParameter("pass at least one file, for example: -f deploy/", param_hint="-f")
        labels = dict(map(_label, namespace_labels or ()))
        return cls(files, policy, secrets, labels or None, cluster, whole)


def load_policy(path: Path | None) -> CompiledPolicy:
    """Load the policy in a file or directory, or the default policy.

    Raises:
        typer.Exit: With `ExitCode.UNREADABLE`, after printing every problem to standard error.
    """
    from webhook.policy.load import PolicyError, default_policy, load

    try:
        policy = default_policy() if path is None else load([path], pipes=True)
    except PolicyError as error:
        _print_problems(error.problems)
        raise typer.Exit(ExitCode.UNREADABLE) from None
    _print_problems(policy.warnings)
    return policy


def conclude(inventory: Inventory) -> None:
    """End the command, after its output.

    Raises:
        typer.Exit: With `ExitCode.UNREADABLE`, when some objects were invalid and skipped.
    """
    if inventory.problems:
        raise typer.Exit(ExitCode.UNREADABLE)


def read_inventory(question: Question, *policies: CompiledPolicy) -> Inventory:
    """Read the manifests or the cluster; print problems and notes about it to standard error.

    Secrets are read if the question or one of the policies asks for it.

    Raises:
        typer.Exit: With `ExitCode.UNREADABLE`, when it could not be read.
    """
    if question.cluster is not None:
        secrets = _reads_secrets(question, policies)
        return _reported(read_live(question.cluster, secrets=secrets, whole=question.whole), "in the cluster")
    return read_files(question, *policies)


def read_files(question: Question, *policies: CompiledPolicy) -> Manifests:
    """Read the manifests; otherwise as `read_inventory`."""
    from webhook.inventory.manifests import ManifestError, read

    try:
        manifests = read(
            question.files,
            secrets=_reads_secrets(question, policies),
            namespace_labels=question.namespace_labels,
            stdin=typer.get_text_stream("stdin", encoding="utf-8"),
        )
    except ManifestError as error:
        _print_problems(error.problems)
        raise typer.Exit(ExitCode.UNREADABLE) from None
    return _reported(manifests, "among the manifests")


def _reads_secrets(question: Question, policies: Iterable[CompiledPolicy]) -> bool:
    return question.secrets or any(policy.read_secrets for policy in policies)


Read = TypeVar("Read", "Manifests", "Snapshot")


def _reported(inventory: Read, where: str) -> Read:
    _print_problems(inventory.problems)
    for note in inventory.notes:
        typer.echo(f"note: {note}", err=True)
    if not inventory.workloads:
        typer.echo(f"note: no workload {where}", err=True)
    return inventory


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        typer.echo(str(problem), err=True)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals or "=" in value:
        raise typer.BadParameter(f"expected KEY=VALUE, got {text!r}", param_hint="--namespace-label")
    return key, value
