"""Read the cluster context of pods from manifests: YAML or JSON files, directories, standard input."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import yaml

from webhook.inventory.objects import POD_PATHS, is_kubernetes_own
from webhook.inventory.outlines import template_of
from webhook.inventory.store import Store
from webhook.inventory.take import take
from webhook.inventory.workloads import RunningPod, Workload, workload_of
from webhook.kubernetes.yaml import MANIFESTS, LimitError
from webhook.kubernetes.yaml_lines import YamlDocument, documents
from webhook.mesh import MESH
from webhook.mesh.config import IstioConfiguration
from webhook.problem import Problem, field_and_message
from webhook.regular import entries, open_regular

MOST_FILES: Final = 10_000
"""Maximum number of manifest files below one directory."""
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


class ManifestError(Exception):
    """Some input could not be read at all.

    Attributes:
        problems: A diagnostic for each fault.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class ManifestObject:
    """One object of the input.

    Attributes:
        document: The object as plain Python values.
        source: Its location, as "file:line".
        pod_path: The path of its pod template, () for a Pod, None for objects without pods.
        workload: The workload; None for objects without pods, or if it could not be decoded.
    """

    document: dict[str, Any]
    source: str
    pod_path: tuple[str, ...] | None
    workload: Workload | None = None

    def problem(self, field: str, message: str) -> Problem:
        """Return a diagnostic for a field of this object.

        Args:
            field: The field's path, for example "spec.ports[0].name".
            message: The problem.
        """
        file, _, line = self.source.rpartition(":")
        return Problem("error", file, int(line), field, message)


class Manifests(Store):
    """A set of manifests as the cluster context of its own workloads.

    Attributes:
        objects: Every object, in the order of the input.
        workloads: The workloads among them.
        problems: Diagnostics of the objects that could not be decoded and were skipped.
    """

    running: Sequence[RunningPod] = ()
    """Manifests contain no running pods."""

    def __init__(
        self,
        objects: Sequence[ManifestObject],
        workloads: Sequence[Workload],
        problems: Sequence[Problem] = (),
        *,
        secrets: bool = False,
        namespace_labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.objects = tuple(objects)
        self.workloads = tuple(workloads)
        self.problems = list(problems)
        self._assumed = dict(namespace_labels) if namespace_labels is not None else MESH.MEMBERSHIP
        for workload in self.workloads:
            self.put_template(workload.kind, workload.namespace, workload.name, template_of(workload.pod))
        for item in self.objects:
            if not is_kubernetes_own(item.document["kind"], item.document["apiVersion"]):
                continue
            try:
                take(self, item.document, secrets=secrets)
            except msgspec.ValidationError as error:
                self.problems.append(item.problem(*field_and_message(error)))

    def problem(self, document: Mapping[str, Any], field: str, message: str) -> Problem:
        """Return a diagnostic for a field of one of the documents."""
        return next(item for item in self.objects if item.document is document).problem(field, message)

    @property
    def documents(self) -> Sequence[dict[str, Any]]:
        """Every object as plain Python values, including kinds that decisions do not read."""
        return [item.document for item in self.objects]

    @cached_property
    def istio(self) -> IstioConfiguration:
        """Istio's own configuration among the documents."""
        return IstioConfiguration.of(self.documents)

    @property
    def notes(self) -> tuple[str, ...]:
        """The assumptions made, as sentences."""
        namespaces = {workload.namespace for workload in self.workloads}
        missing = sorted(name for name in namespaces if not self.knows(name))
        labels = ", ".join(f"{key}={value}" for key, value in self._assumed.items()) or "no labels"
        return tuple(f"no Namespace object for '{name}' among the manifests: assuming {labels}" for name in missing)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of the Namespace object; without one, the assumed labels."""
        labels = super().namespace_labels(namespace)
        return self._assumed if labels is None else labels


def read(
    paths: Sequence[str],
    *,
    secrets: bool = False,
    namespace_labels: Mapping[str, str] | None = None,
    stdin: TextIO | None = None,
    pipes: bool = True,
) -> Manifests:
    """Read manifests.

    Args:
        paths: Files, directories (searched for *.yaml, *.yml and *.json, in name order), or "-" for standard input.
        secrets: Whether to read the values of Secrets, too; like all values they are reduced to parsed shapes.
        namespace_labels: The labels of namespaces without a Namespace object; None means istio-injection=enabled.
        stdin: The stream for "-"; None means the process's standard input.
        pipes: Whether a path may be a pipe, whose writer is waited for.

    Returns:
        The manifests. Objects with fields of the wrong type are skipped and reported in `problems`.

    Raises:
        ManifestError: A file cannot be read or is not YAML, or there is no object at all.

    Example:
        manifests = read(["examples/eshop"])
        names = [workload.name for workload in manifests.workloads]
    """
    errors: list[Problem] = []
    problems: list[Problem] = []
    objects: list[ManifestObject] = []
    workloads: list[Workload] = []
    for file, text in _texts(paths, stdin or sys.stdin, errors, pipes=pipes):
        for document in _documents(file, text, errors):
            for item, path in _objects(file, document, errors):
                try:
                    if item.pod_path is not None:
                        made = workload_of(item.document, item.pod_path, item.source)
                        item = replace(item, workload=made)  # noqa: PLW2901 - the same object, complete
                        workloads.append(made)
                except msgspec.ValidationError as error:
                    field, message = field_and_message(error)
                    whole = ".".join(filter(None, [path, field]))
                    problems.append(Problem("error", file, document.line_of(whole), whole, message))
                objects.append(item)
    if not errors and not objects:
        errors.append(Problem("error", ", ".join(paths), None, "", "no Kubernetes object found"))
    if errors:
        raise ManifestError(errors)
    return Manifests(objects, workloads, problems, secrets=secrets, namespace_labels=namespace_labels)


def _texts(paths: Sequence[str], stdin: TextIO, errors: list[Problem], *, pipes: bool) -> Iterator[tuple[str, str]]:
    for path in paths:
        found = Path(path)
        try:
            inside = sorted(islice(_files(found), MOST_FILES + 1)) if path != "-" and found.is_dir() else None
        except OSError as error:
            errors.append(Problem("error", str(error.filename or path), None, "", f"cannot be read: {error.strerror}"))
            continue
        if inside is not None and len(inside) > MOST_FILES:
            errors.append(Problem("error", path, None, "", f"contains more than {MOST_FILES} manifests"))
            continue
        for file in [found] if inside is None else inside:
            try:
                if path == "-":
                    yield str(file), stdin.read(MANIFESTS.characters + 1)
                else:
                    yield str(file), _text(file, pipes=pipes and inside is None)
            except OSError as error:
                errors.append(Problem("error", str(file), None, "", f"cannot be read: {error.strerror}"))
            except UnicodeDecodeError:
                errors.append(Problem("error", str(file), None, "", "is not UTF-8 text"))


def _text(file: Path, *, pipes: bool) -> str:
    with open_regular(file, pipes=pipes) as stream:
        content = stream.read(MANIFESTS.characters + 1)
    if len(content) > MANIFESTS.characters:
        raise OSError(errno.EFBIG, f"it has more than {MANIFESTS.characters >> 20} MiB", str(file))
    return content.decode("utf-8")


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the manifest files below a directory, without hidden entries, such as `..data` of a mounted volume."""
    here = folder.resolve()
    if here in above:
        return  # a symbolic link leads back
    for entry in entries(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, (*above, here))
        elif entry.suffix in _SUFFIXES:
            yield entry


def _documents(file: str, text: str, errors: list[Problem]) -> Iterator[YamlDocument]:
    try:
        yield from documents(text)
    except yaml.MarkedYAMLError as error:
        # At the end of the text the parser's mark is after the last line.
        line = min(error.problem_mark.line, text.rstrip().count("\n")) + 1 if error.problem_mark else None
        errors.append(Problem("error", file, line, "", f"not valid YAML: {error.problem or error.context}"))
    except LimitError as error:
        errors.append(Problem("error", file, error.line, "", error.problem, error.hint))
    except yaml.YAMLError:
        errors.append(Problem("error", file, None, "", "not valid YAML: a character that YAML does not allow"))


def _objects(file: str, document: YamlDocument, errors: list[Problem]) -> Iterator[tuple[ManifestObject, str]]:
    """Yield the objects of a document, each with its path; a List is expanded into its items."""
    found: list[tuple[object, str]] = [(document.content, "")]
    while found:
        content, path = found.pop()
        line = document.line_of(path)
        if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in _TYPE):
            hint = "every manifest has apiVersion and kind"
            errors.append(Problem("error", file, line, path, "not a Kubernetes object", hint))
        elif content["kind"].endswith("List") and (content["kind"] == "List" or "items" in content):
            items = content.get("items") or []
            if isinstance(items, list):
                typed = [_of_list(content, item) for item in items]
                found += reversed([(item, f"{path}.items[{index}]".lstrip(".")) for index, item in enumerate(typed)])
            else:
                field = f"{path}.items".lstrip(".")
                message = f"a {content['kind']} must have a list of objects here"
                errors.append(Problem("error", file, document.line_of(field), field, message))
        else:
            known = is_kubernetes_own(content["kind"], content["apiVersion"])
            yield ManifestObject(content, f"{file}:{line}", POD_PATHS.get(content["kind"]) if known else None), path


_TYPE = ("apiVersion", "kind")


def _of_list(holder: dict[str, Any], item: object) -> object:
    """Return an item of a list with its type, which items of a DeploymentList need not contain."""
    if not isinstance(item, dict) or holder["kind"] == "List":
        return item
    return {"apiVersion": holder["apiVersion"], "kind": holder["kind"].removesuffix("List")} | item
