"""The configuration of one container: its settings, the references between them, and what they say of each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from webhook.core.values import Content, Tls, Value, are_alike
from webhook.detection.catalog import Catalog
from webhook.detection.keys import Key
from webhook.detection.parse.content import read_content
from webhook.detection.parse.encryption import tls_as_set
from webhook.detection.parse.references import expand, reference
from webhook.detection.resolve.links import Links
from webhook.detection.words import Role, words
from webhook.kubernetes.pod import Container

# Shorter words occur in many hosts by chance.
_SHORTEST_SECRET = 3
_ORIGIN = " ← Secret "
_NOWHERE = frozenset("sqlite sqlite3 memory inmemory local file filesystem h2 dummy noop embedded derby".split())
# The names that frameworks give to a mailer, a queue or a broadcaster that does not use the network.
_NOWHERE_CHOSEN = frozenset("log sync array null sendmail".split())
_CHOSEN_BY = frozenset({"mailer", "driver", "connection"})


class Source(StrEnum):
    """What a setting comes from, as users read it."""

    ENVIRONMENT = "environment variables"
    ARGUMENTS = "arguments"
    COMMANDS = "commands of probes and hooks"
    FILES = "settings in files"


class Entry(Struct, frozen=True, gc=False):
    """One setting of a container.

    Attributes:
        key: The keys that lead to it.
        evidence: Its location, for users, where an evidence chain begins: "env NAME ← ConfigMap cfg/key".
        value: Its parsed value.
        source: What it comes from.
    """

    key: Key
    evidence: str
    value: Value
    source: Source = Source.ENVIRONMENT

    @property
    def is_secret(self) -> bool:
        """Whether it comes from a Secret, by its evidence chain."""
        return _ORIGIN in self.evidence

    def names_host(self, word: str) -> bool:
        """Return whether a word is a host by its key or, outside of Secrets, its domain; of several, one may be secret.

        Args:
            word: A word without a port from the value.
        """
        if len(self.value.mentions) > 1 and not are_alike([mention.host for mention in self.value.mentions]):
            return False
        return self.key.names_host or (word.split(".")[2:3] == ["svc"] and not self.is_secret)


class Configuration:
    """All settings of one container, which may refer to each other, and set a port, a provider or a switch for others.

    Attributes:
        container: The container.
        entries: The settings that may count.
        quiet: The environment variables that do not, since no such value counts under such a key, and their keys.
        variables: Each environment variable's content, or its text until it is parsed on demand.
        arguments: Each argument that is a single word or number.
    """

    def __init__(self, container: Container, links: Links, catalog: Catalog) -> None:
        self.container = container
        self.entries: list[Entry] = []
        self.quiet: dict[str, Key] = {}
        self.variables: dict[str, Content | str] = {}
        self.arguments: dict[str, str] = {}
        self._links = links
        self._catalog = catalog
        self._secret_words: tuple[str, ...] | None = None
        self._ports: dict[tuple[str, ...], str] = {}
        self._providers: dict[tuple[str, ...], str] = {}
        self._off: set[tuple[str, ...]] = set()
        self._tls: dict[tuple[str, ...], Tls] = {}

    def relate(self) -> None:
        """Index what the settings say of each other, once all of them are there."""
        for entry in self.entries:
            self._note(entry.key, entry.value)

    def word(self, name: str) -> str:
        """Return the environment variable or argument of this name where it is a single word or number; else ""."""
        if name in self.variables or name not in self.arguments:
            return self.variable(name) or ""
        return self.arguments[name]

    def variable(self, name: str) -> str | None:
        """Return the environment variable of this name where it is a single word, else ""; None when it is not set."""
        return self.content(name).value.word if name in self.variables else self.link(name)

    def link(self, name: str) -> str | None:
        """Return the service link of this name: a host, a port or host:port; None when it is absent or overridden."""
        return None if name in self.variables else self._links.value(name)

    def refer(self, name: str) -> str | None:
        """Return how a text refers to an environment variable that is set, else None."""
        value = self.variable(name)
        return None if value is None else reference(name) or value

    def defines(self, name: str) -> bool:
        """Return whether there is an environment variable of this name that has a value, single word or not."""
        if name not in self.variables:
            return False
        value = self.content(name).value
        return value.switch is not False or bool(value.word)

    def content(self, name: str) -> Content:
        """Return the content of an environment variable, parsed at most once."""
        content = self.variables[name]
        if isinstance(content, str):
            content = self.variables[name] = read_content(name, content)
        return content

    def secret_words(self) -> tuple[str, ...]:
        """Return words and hosts from Secrets, in lower case, which references may bring into other settings."""
        if self._secret_words is None:
            values = [entry.value for entry in self.entries if _ORIGIN in entry.evidence]
            words = {word for value in values for word in value.word.lower().split(":")}
            words |= {mention.host.lower() for value in values for mention in value.mentions}
            self._secret_words = tuple(word for word in words if len(word) >= _SHORTEST_SECRET)
        return self._secret_words

    def all_entries(self) -> Iterator[Entry]:
        """Yield the settings, and after them those that do not count."""
        yield from self.entries
        for name, key in self.quiet.items():
            yield Entry(key, f"env {name}", self.content(name).value)

    def _note(self, key: Key, value: Value) -> None:
        if key.encrypts and (tls := tls_as_set(value)) is not None:
            self._tls.setdefault(key.encrypts, tls)
        if key.role is Role.PORT and value.word:
            self._ports.setdefault(key.subject, value.word)
        elif key.role is Role.SWITCH and value.switch is not None:
            off = value.switch if key.tokens[-1].startswith("disable") else not value.switch
            if off and key.switched:
                self._off.add(key.switched)
        if key.may_choose and value.word and key.subject:
            chosen = words(value.word)
            nowhere = _NOWHERE.intersection(chosen) or "".join(chosen) in _NOWHERE
            if nowhere or (key.tokens[-1] in _CHOSEN_BY and value.word.lower() in _NOWHERE_CHOSEN):
                self._off.add(key.subject)
            elif kind := self._catalog.named(chosen):
                self._providers.setdefault(key.subject, kind)

    def live(self) -> Iterable[Entry]:
        """Return the entries that are not switched off."""
        entries = self.entries
        return [entry for entry in entries if not self.is_off(entry.key)] if self._off else entries

    def is_off(self, key: Key) -> bool:
        """Return whether a neighbouring entry switches off what the key belongs to, or chooses something else."""
        return not self._off.isdisjoint(key.above)

    def provider(self, key: Key) -> str | None:
        """Return the kind that a neighbouring key chooses for what this key is about (DB_TYPE for DB_HOST)."""
        if self._providers:
            for length in range(len(key.subject), 0, -1):
                if kind := self._providers.get(key.subject[:length]):
                    return kind
        return None

    def tls_beside(self, key: Key, kind: str = "") -> Tls | None:
        """Return what neighbouring keys say of TLS (DB_SSL for DB_HOST), or all keys that name the kind."""
        if self._tls:
            for length in range(len(key.subject), 0, -1):
                if (tls := self._tls.get(key.subject[:length])) is not None:
                    return tls
            return self._tls.get((kind,))
        return None

    def port_beside(self, key: Key) -> str:
        """Return the port that a neighbouring key sets (DB_PORT for DB_HOST), or ""."""
        port = self._ports.get(key.subject, "")
        return self.expanded(port) if port else ""

    def expanded(self, text: str) -> str:
        """Expand the references to the container's variables in a text."""
        return expand(text, self.word)
