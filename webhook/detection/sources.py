"""Where a pod keeps its configuration: environment, arguments and mounted files, each with its trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from webhook.core.mesh import is_istio_container
from webhook.core.pod import Container, EnvVar, KeyToPath, Pod, Volume, VolumeMount
from webhook.core.surroundings import Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.commands import read_command
from webhook.detection.content import UNREADABLE_CONTENT, Content, read_content, says_nothing
from webhook.detection.keys import Key, key_of
from webhook.detection.lines import Line, Quota
from webhook.detection.mentions import Value
from webhook.detection.words import is_credential


class Entry(Struct, frozen=True, gc=False):
    """One setting of a container.

    Attributes:
        key: What the keys that lead to it say.
        trail: Where it stands, for people: "env NAME ← ConfigMap cfg/key".
        value: What its value says.
        in_file: Whether it comes from a mounted file.
    """

    key: Key
    trail: str
    value: Value
    in_file: bool = False


class Scope:
    """All settings of one container, which may refer to each other.

    Attributes:
        container: The container.
        entries: The settings that may count.
        quiet: The environment variables that do not, since no such value counts under such a key, and their keys.
        variables: Each environment variable's content, or its text as long as nobody had to read it.
        arguments: Each argument that is a single word or number.
    """

    def __init__(self, container: Container, variables: dict[str, Content | str]) -> None:
        self.container = container
        self.entries: list[Entry] = []
        self.quiet: dict[str, Key] = {}
        self.variables = variables
        self.arguments: dict[str, str] = {}

    def word(self, name: str) -> str:
        """The environment variable or argument of this name where it is a single word or number; else ""."""
        return self.content(name).value.word if name in self.variables else self.arguments.get(name, "")

    def defines(self, name: str) -> bool:
        """Whether there is an environment variable of this name that has a value, single word or not."""
        if name not in self.variables:
            return False
        value = self.content(name).value
        return value.switch is not False or bool(value.word)

    def content(self, name: str) -> Content:
        """What an environment variable says, read at most once."""
        said = self.variables[name]
        if isinstance(said, str):
            said = self.variables[name] = read_content(name, said)
        return said

    def all_entries(self) -> Iterator[Entry]:
        """The settings, and behind them those that do not count."""
        yield from self.entries
        for name, key in self.quiet.items():
            yield Entry(key, f"env {name}", self.content(name).value)


class Sources:
    """Reads the configuration of one pod.

    Attributes:
        unknown: What could not be read, as sentences; filled by `scopes`.
    """

    def __init__(self, pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog) -> None:
        self.unknown: list[str] = []
        self._cut: set[str] = set()
        self._catalog = catalog
        self._pod = pod
        self._namespace = namespace
        self._surroundings = surroundings
        self._volumes = {volume.name: volume for volume in pod.spec.volumes or () if not volume.is_token}

    def scopes(self) -> Iterator[Scope]:
        """The settings of every container that is the application's, init containers included."""
        for container in self._pod.containers():
            if not is_istio_container(container):
                yield self._scope(container)

    def _scope(self, container: Container) -> Scope:
        variables, origins = self._environment(container)
        scope = Scope(container, variables)
        entries, quiet = scope.entries, scope.quiet
        for name, said in variables.items():
            key = key_of(self._catalog, name)
            if key.is_quiet and isinstance(said, str) and says_nothing(said):
                quiet[name] = key
                continue
            trail = f"env {name}{origins.get(name, '')}"
            content = scope.content(name)
            if content.cut:
                self._notice(trail)
            if content.lines:
                entries += [self._entry(line, f"{trail}: {'.'.join(line.path)}", name) for line in content.lines]
            else:
                entries.append(Entry(key, trail, content.value))
        for line in self._command([*(container.command or ()), *(container.args or ())], "args"):
            trail = f"args {'.'.join(line.path)}" if line.path else "args"
            entries.append(self._entry(line, trail))
            if len(line.path) == 1:
                scope.arguments.setdefault(line.path[0], line.value.word)
        for field_name, command in container.hooks():
            trail = f"{field_name} command"
            entries += [self._entry(line, trail) for line in self._command(command, trail)]
        for content, trail, name in self._files(container):
            for line in content.lines or (_as_setting(name, content),):
                inner = ".".join(line.path) if content.lines else ""
                entries.append(self._entry(line, f"{trail}: {inner}" if inner else trail, in_file=True))
        return scope

    def _command(self, arguments: list[str], trail: str) -> tuple[Line, ...]:
        quota = Quota()
        lines = read_command(arguments, quota)
        if quota.cut:
            self._notice(trail)
        return lines

    def _entry(self, line: Line, trail: str, *above: str, in_file: bool = False) -> Entry:
        return Entry(key_of(self._catalog, *above, *line.path), trail, line.value, in_file=in_file)

    def _environment(self, container: Container) -> tuple[dict[str, Content | str], dict[str, str]]:
        """Every variable, as its text or read before; and of those that come from an object, the rest of the trail.

        As in Kubernetes `env` wins over `envFrom`, and the later over the earlier.
        """
        environment: dict[str, Content | str] = {}
        origins: dict[str, str] = {}
        for source in container.env_from or ():
            for reference, kind in ((source.config_map_ref, "ConfigMap"), (source.secret_ref, "Secret")):
                if reference is None:
                    continue
                for key, content in self._object(kind, reference.name, "envFrom", optional=reference.optional).items():
                    name = (source.prefix or "") + key
                    environment[name] = Content(Value()) if source.prefix and is_credential(name) else content
                    origins[name] = f" ← {kind} {reference.name}/{key}"
        for variable in container.env or ():
            name = variable.name
            if variable.value is not None:
                environment[name] = variable.value
                if origins:
                    origins.pop(name, None)
            elif referred := self._referred(variable):
                environment[name], origins[name] = referred
        return environment, origins

    def _referred(self, variable: EnvVar) -> tuple[Content, str] | None:
        if variable.value_from is None:
            return None
        config_map, secret = variable.value_from.config_map_key_ref, variable.value_from.secret_key_ref
        reference, kind = (config_map, "ConfigMap") if config_map is not None else (secret, "Secret")
        if reference is None:
            return None
        origin = f" ← {kind} {reference.name}/{reference.key}"
        held = self._held(kind, reference.name)
        if held is None or reference.key not in held:
            trail = f"env {variable.name}{origin}"
            self._not_readable(kind, reference.name, trail, variable.name, optional=reference.optional)
            return (UNREADABLE_CONTENT, origin) if held is None and not reference.optional else None
        content = held[reference.key]
        return (Content(Value()) if is_credential(variable.name) else content), origin

    def _files(self, container: Container) -> Iterator[tuple[Content, str, str]]:
        for mount in container.volume_mounts or ():
            if (volume := self._volumes.get(mount.name)) is not None:
                yield from self._mounted(mount, volume)

    def _mounted(self, mount: VolumeMount, volume: Volume) -> Iterator[tuple[Content, str, str]]:
        for kind, name, items, optional in _volume_sources(volume):
            held = self._object(kind, name, f"volume {volume.name}", optional=optional)
            chosen = {item.key: item.path for item in items} if items is not None else {key: key for key in held}
            for key, path in chosen.items():
                if key not in held or not _under(mount.sub_path, path):
                    continue
                where = mount.mount_path if mount.sub_path == path else f"{mount.mount_path.rstrip('/')}/{path}"
                trail = f"file {where} ← {kind} {name}/{key}"
                if held[key].cut:
                    self._notice(trail)
                yield held[key], trail, path

    def _notice(self, trail: str) -> None:
        """Take notice of a text that was not read to its end: once for an object's key, wherever it is mounted."""
        origin = trail.rpartition(" ← ")[2]
        if origin not in self._cut:
            self._cut.add(origin)
            self.unknown.append(f"{trail}: only its beginning was read")

    def _held(self, kind: str, name: str) -> Mapping[str, Content] | None:
        ask = self._surroundings.config_map if kind == "ConfigMap" else self._surroundings.secret
        return ask(self._namespace, name)

    def _object(self, kind: str, name: str, where: str, *, optional: bool | None) -> Mapping[str, Content]:
        held = self._held(kind, name)
        if held is None:
            self._not_readable(kind, name, f"{where} ← {kind} {name}", "", optional=optional)
        return held or {}

    def _not_readable(self, kind: str, name: str, trail: str, variable: str, *, optional: bool | None) -> None:
        if optional or is_credential(variable):
            return
        why = "may not be read, or is not there" if kind == "Secret" else "is not there, or has no such key"
        sentence = f"{trail}: {kind} {name} {why}"
        if sentence not in self.unknown:
            self.unknown.append(sentence)


def _as_setting(name: str, content: Content) -> Line:
    """A file that is one value is a setting of the file's name."""
    return Line((name,), Value() if is_credential(name) else content.value)


def _volume_sources(volume: Volume) -> Iterator[tuple[str, str, list[KeyToPath] | None, bool | None]]:
    if (config_map := volume.config_map) is not None:
        yield "ConfigMap", config_map.name, config_map.items, config_map.optional
    if (secret := volume.secret) is not None:
        yield "Secret", secret.secret_name, secret.items, secret.optional
    for source in (volume.projected.sources or ()) if volume.projected is not None else ():
        for kind, projected in (("ConfigMap", source.config_map), ("Secret", source.secret)):
            if projected is not None:
                yield kind, projected.name, projected.items, projected.optional


def _under(sub_path: str | None, path: str) -> bool:
    return not sub_path or path == sub_path or path.startswith(sub_path.rstrip("/") + "/")
