"""Read a pod's configuration: environment, arguments and mounted files, each with its evidence chain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from msgspec import Struct

from webhook.core.budget import Budget
from webhook.core.surroundings import Surroundings
from webhook.core.values import UNREADABLE_CONTENT, Content, Line, Value
from webhook.detection.catalog import Catalog
from webhook.detection.keys import LONGEST_NAME, key_of
from webhook.detection.parse.arguments import probed, started
from webhook.detection.parse.commands import read_command
from webhook.detection.parse.content import is_plain_text
from webhook.detection.parse.lines import Quota
from webhook.detection.parse.references import expand_as_kubernetes, is_variable, referred
from webhook.detection.resolve.configuration import Configuration, Entry, Source
from webhook.detection.resolve.links import Links
from webhook.detection.resolve.mounts import MountPoints, Projection, projections
from webhook.detection.resolve.subpaths import sub_path
from webhook.detection.words import is_credential
from webhook.kubernetes.pod import Container, EnvVarSource, FieldReference, Pod, Volume
from webhook.mesh import MESH

_NOTHING = Content(Value())
_LABEL = re.compile(r"metadata\.labels\['(?P<key>[^']+)'\]")
_MOST_EXPANDED = 500_000
"""Characters that references $(NAME) in one pod's environment may add up to."""
# Characters of the evidence chain of a missing name; the pod chooses the names in it, of any length.
_LONGEST_EVIDENCE = 1_000


class File(Struct, frozen=True, gc=False):
    """A key of an object as a file of a volume."""

    kind: str
    name: str
    key: str
    content: Content


class Sources:
    """The configuration of one pod, read container by container."""

    def __init__(self, pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget) -> None:
        self._unknown: dict[str, None] = {}
        self._cut: set[str] = set()
        self._budget = budget
        self._catalog = catalog
        self._pod = pod
        self._namespace = namespace
        self._surroundings = surroundings
        self._volumes = {volume.name: volume for volume in pod.spec.volumes or () if volume.holds_configuration}
        self._payloads: dict[str, dict[str, File | None]] = {}
        self._links = Links(pod, namespace, surroundings)
        self._room = _MOST_EXPANDED

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be read, as sentences; complete when all of `configurations` was taken."""
        return tuple(self._unknown)

    def configurations(self) -> Iterator[Configuration]:
        """Yield the configuration of every container of the application, init containers included."""
        for container in self._pod.containers():
            if not MESH.is_injected(container):
                yield self._read(container)

    def _read(self, container: Container) -> Configuration:
        configuration = Configuration(container, self._links, self._catalog)
        origins = self._environment(container, configuration)
        entries, quiet = configuration.entries, configuration.quiet
        for name, text in configuration.variables.items():
            key = key_of(self._catalog, name)
            if key.is_quiet and isinstance(text, str) and is_plain_text(text):
                quiet[name] = key
                continue
            if isinstance(text, str) and len(text) >= 64:
                self._budget.spend(len(text) // 64)
            evidence = f"env {name}{origins.get(name, '')}"
            content = configuration.content(name)
            self._notice(evidence, cut=content.cut)
            if content.lines:
                self._budget.spend(len(content.lines))
                entries += [self._entry(line, f"{evidence}: {'.'.join(line.path)}", name) for line in content.lines]
            else:
                entries.append(Entry(key, evidence, content.value))
        for line in self._command("args", started(container, configuration.refer)):
            evidence = f"args {'.'.join(line.path)}" if line.path else "args"
            entries.append(self._entry(line, evidence, source=Source.ARGUMENTS))
            if len(line.path) == 1:
                configuration.arguments.setdefault(line.path[0], line.value.word)
        for where, command in chain(probed(container), container.hooks()):
            evidence = f"{where} command"
            entries += [
                self._entry(line, evidence, source=Source.COMMANDS) for line in self._command(evidence, command)
            ]
        for content, evidence, name in self._files(container, configuration):
            self._budget.spend(1 + len(content.lines))
            self._notice(evidence, cut=content.cut)
            for line in content.lines or (_as_setting(name, content),):
                inner = ".".join(line.path) if content.lines else ""
                entries.append(self._entry(line, f"{evidence}: {inner}" if inner else evidence, source=Source.FILES))
        configuration.relate()
        return configuration

    def _command(self, evidence: str, arguments: list[str]) -> tuple[Line, ...]:
        if not arguments:
            return ()
        self._budget.spend(len(arguments) // 16 + sum(map(len, arguments)) // 64)
        quota = Quota()
        lines = read_command(arguments, quota)
        self._budget.spend(len(lines))
        self._notice(evidence, cut=quota.cut)
        return lines

    def _entry(self, line: Line, evidence: str, *above: str, source: Source = Source.ENVIRONMENT) -> Entry:
        return Entry(key_of(self._catalog, *above, *line.path), evidence, line.value, source)

    def _environment(self, container: Container, configuration: Configuration) -> dict[str, str]:
        """Set every variable as the kubelet does; return the rest of the evidence chain of references.

        `env` overrides `envFrom`, and the later the earlier. A reference $(NAME) sees what was set before it.
        """
        environment = configuration.variables
        origins: dict[str, str] = {}
        for held_by in container.env_from or ():
            for reference, kind in ((held_by.config_map_ref, "ConfigMap"), (held_by.secret_ref, "Secret")):
                if reference is None:
                    continue
                held = self._object(kind, reference.name, "envFrom", optional=reference.optional)
                # A prefix makes names of its own, each of which is parsed.
                self._budget.spend(1 + len(held) // (4 if held_by.prefix else 16))
                are_names = is_variable(f"{held_by.prefix or ''}{''.join(held)}")
                for key, content in held.items():
                    name = ((held_by.prefix or "") + key)[:LONGEST_NAME]
                    if not (are_names or is_variable(name)):
                        continue
                    environment[name] = _under_key(name, content) if held_by.prefix else content
                    origins[name] = f" ← {kind} {reference.name}/{key}"
        self._budget.spend(1 + len(container.env or ()))
        for variable in container.env or ():
            name, text, source = variable.name[:LONGEST_NAME], variable.value or "", variable.value_from
            if text or source is None:
                environment[name] = self._expanded(text, name, configuration) if "$" in text else text
                if origins:
                    origins.pop(name, None)
            elif (found := self._referred(name, source)) is not None:
                environment[name], origins[name] = found
        return origins

    def _expanded(self, text: str, name: str, configuration: Configuration) -> Content | str:
        """Expand the variables in a variable's text, but for those that are not a single word.

        A text that is one reference and nothing else has the content of that variable.
        """
        whole = referred(text)
        if whole in configuration.variables:
            content = configuration.content(whole)
            return _NOTHING if content.lines else _under_key(name, content)

        def value_of(other: str) -> str | None:
            value = configuration.variable(other)
            self._room -= len(value or "")
            return value if self._room >= 0 else ""

        expanded = expand_as_kubernetes(text, value_of)
        if self._room < 0:
            self._not_known("env: references $(NAME) expand to more than a megabyte: not all of them were read")
        return expanded

    def _referred(self, name: str, source: EnvVarSource) -> tuple[Content | str, str] | None:
        """Return a variable's content and evidence chain; None where its optional reference is missing."""
        config_map, secret = source.config_map_key_ref, source.secret_key_ref
        reference, kind = (config_map, "ConfigMap") if config_map is not None else (secret, "Secret")
        if reference is None:
            return self._of_pod(name, source)
        origin = f" ← {kind} {reference.name}/{reference.key}"
        held = self._held(kind, reference.name)
        if held is not None and reference.key in held:
            return _under_key(name, held[reference.key]), origin
        if reference.optional:
            return None
        self._not_readable(kind, reference.name, f"env {name}{origin}", name, optional=False)
        return UNREADABLE_CONTENT if held is None else _NOTHING, origin

    def _of_pod(self, name: str, source: EnvVarSource) -> tuple[Content | str, str]:
        """Return the content of a variable set from the pod itself, or from a file that only exists at run time."""
        field = source.field_ref
        if field is None and source.resource_field_ref is not None:
            return _NOTHING, ""
        origin = f" ← {field.field_path}" if field is not None else ""
        if field is None or field.field_path.startswith("metadata.annotations["):
            why = "is known only at run time" if field is None else "comes from an annotation, which is not read"
            if not is_credential(name):
                self._not_known(f"env {name}{origin}: its value {why}")
            return UNREADABLE_CONTENT, origin
        return self._field(field), origin

    def _field(self, field: FieldReference) -> Content | str:
        """Return the content of a field of the pod; names and addresses of the pod and its node are not backends."""
        if (label := _LABEL.fullmatch(field.field_path)) is not None:
            return self._pod.labels.get(label["key"], "")
        if field.field_path == "metadata.namespace":
            return Content(Value(word=self._namespace))
        return _NOTHING

    def _files(self, container: Container, configuration: Configuration) -> Iterator[tuple[Content, str, str]]:
        """Yield every file that the container sees, once, under the first path that it is mounted at."""
        seen: set[tuple[str, ...]] = set()
        mounts = container.volume_mounts or ()
        if not any(mount.name in self._volumes for mount in mounts):
            return
        points = MountPoints([mount.mount_path for mount in mounts])
        for index, mount in enumerate(mounts):
            if (volume := self._volumes.get(mount.name)) is None:
                continue
            payload, part = self._payload(volume), sub_path(mount, configuration.variable)
            self._budget.spend(1 + len(payload) // 16)
            for path, file in payload.items():
                inside = part.inside(path)
                if file is None or inside is None:
                    continue
                below = inside if part.end is None else ""
                self._budget.spend(points.cost(index, below) // 1024)
                if not points.shows(index, below):
                    continue
                # A file that is a single value has its name for a key, so that another name may be more specific.
                known_by = (file.kind, file.name, file.key, *(() if file.content.lines else (path,)))
                if known_by in seen:
                    continue
                seen.add(known_by)
                where = f"{mount.mount_path.rstrip('/')}/{inside}" if inside else mount.mount_path
                evidence = f"file {where[:LONGEST_NAME]} ← {file.kind} {file.name}/{file.key}"
                yield file.content, evidence, path[:LONGEST_NAME]

    def _payload(self, volume: Volume) -> dict[str, File | None]:
        """Return the files of a volume by their paths; None for one that contains no configuration."""
        if (known := self._payloads.get(volume.name)) is not None:
            return known
        payload = self._payloads[volume.name] = {}
        for source in projections(volume):
            payload |= self._projected(source, volume)
        return payload

    def _projected(self, source: Projection, volume: Volume) -> dict[str, File | None]:
        if not source.kind:
            return {path: None for _, path in source.paths or ()}
        where, held = f"volume {volume.name} ← {source.kind} {source.name}", self._held(source.kind, source.name)
        if held is None:
            self._not_readable(source.kind, source.name, where, "", optional=source.optional)
            return {}
        paths = [(key, key) for key in held] if source.paths is None else source.paths
        absent = [key for key, _ in paths if key not in held]
        self._budget.spend(1 + len(paths) // 16 + len(absent))
        for key in absent:
            self._not_readable(source.kind, source.name, f"{where}/{key[:LONGEST_NAME]}", "", optional=source.optional)
        return {path: File(source.kind, source.name, key, held[key]) for key, path in paths if key in held}

    def _held(self, kind: str, name: str) -> Mapping[str, Content] | None:
        if len(name) > LONGEST_NAME:
            return None  # no object has such a name, and lookups are cached
        ask = self._surroundings.config_map if kind == "ConfigMap" else self._surroundings.secret
        return ask(self._namespace, name)

    def _object(self, kind: str, name: str, where: str, *, optional: bool | None) -> Mapping[str, Content]:
        held = self._held(kind, name)
        if held is None:
            self._not_readable(kind, name, f"{where} ← {kind} {name}", "", optional=optional)
        return held or {}

    def _notice(self, evidence: str, *, cut: bool) -> None:
        """Report a text that was not read to its end: once for an object's key, wherever it is mounted."""
        if cut and (origin := evidence.rpartition(" ← ")[2]) not in self._cut:
            self._cut.add(origin)
            self._not_known(f"{evidence}: only its beginning was read")

    def _not_readable(self, kind: str, name: str, evidence: str, variable: str, *, optional: bool | None) -> None:
        if optional or is_credential(variable):
            return
        why = "cannot be read, or does not exist" if kind == "Secret" else "does not exist, or has no such key"
        self._not_known(f"{evidence[:_LONGEST_EVIDENCE]}: {kind} {name[:LONGEST_NAME]} {why}")

    def _not_known(self, sentence: str) -> None:
        self._unknown[sentence] = None


def _under_key(name: str, content: Content) -> Content:
    """Return the content of a variable with a referenced value: nothing under the name of a credential."""
    return _NOTHING if is_credential(name) else content


def _as_setting(name: str, content: Content) -> Line:
    """Return a file that is a single value as a setting with the file's name."""
    return Line((name,), Value() if is_credential(name) else content.value)
