"""`inject`: manifests with the decisions applied to their pod templates."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

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
    read_files,
)

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.analysis.workloads import Decided
    from webhook.inventory.manifests import ManifestObject


class Format(StrEnum):
    """The output format of manifests."""

    YAML = "yaml"
    JSON = "json"


def inject(
    *,
    files: Files = None,
    filename: Filenames = None,
    policy: PolicyFile = None,
    secrets: Secrets = False,
    namespace_label: NamespaceLabels = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="The output format.")] = Format.YAML,
) -> None:
    """Print the manifests with the decisions applied to their pod templates.

    For GitOps, and for injecting by hand: … | istioctl kube-inject -f - | kubectl apply -f -
    """
    from webhook.analysis.workloads import decide_by
    from webhook.cli.render.kubernetes_yaml import dump

    question = Question.of(files, filename, policy, secrets=secrets, namespace_labels=namespace_label)
    compiled = load_policy(question.policy)
    manifests = read_files(question, compiled)
    documents = list(_injected(manifests.objects, decide_by(compiled, manifests)))
    if output is Format.JSON:
        typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}, indent=2, ensure_ascii=False))
    else:
        typer.echo(dump(documents), nl=False)
    conclude(manifests)


def _injected(objects: Iterable[ManifestObject], decided: Iterable[Decided]) -> Iterator[dict[str, Any]]:
    """Yield the documents with patched pod templates; the objects that were read are not changed."""
    made = {id(each.workload): each for each in decided}
    for item in objects:
        yield item.document if item.workload is None else _with_patch(item, made[id(item.workload)])


def _with_patch(item: ManifestObject, decided: Decided) -> dict[str, Any]:
    from jsonpatch import JsonPatch

    from webhook.mesh import MESH

    operations = MESH.patch(decided.workload.pod, decided.decision)
    if not operations:
        return item.document
    document: dict[str, Any] = copy.deepcopy(item.document)
    template = document
    for step in item.pod_path or ():
        template[step] = template.get(step) or {}
        template = template[step]
    # A template may come without metadata, which a pod never does, and without the labels that a controller adds.
    metadata = template["metadata"] = template.get("metadata") or {}
    for field in {operation["path"].split("/")[2] for operation in operations}:
        metadata[field] = metadata.get(field) or {}
    JsonPatch(operations).apply(template, in_place=True)
    return document
