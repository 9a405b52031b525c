"""What the settings of one container say about each other: chosen providers, ports beside hosts, switches."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.detection import words as vocabulary
from webhook.detection.catalog import Catalog
from webhook.detection.references import expand
from webhook.detection.sources import Entry, Scope
from webhook.detection.words import Role, key_words, words

_NOWHERE = frozenset("sqlite sqlite3 memory inmemory local file filesystem h2 dummy noop embedded derby".split())
# What frameworks call it when a mailer, a queue or a broadcaster does nothing over the network.
_NOWHERE_CHOSEN = frozenset("log sync array null sendmail".split())
# Words that may stand beside a backend's name in the key of a switch that means "use it".
_PLAIN = frozenset("session sessions cache caching store storage queue broker use with is has active on db".split())


_CHOSEN_BY = frozenset({"mailer", "driver", "connection"})


class Settings:
    """Answers questions about one entry from the entries around it."""

    def __init__(self, scope: Scope, catalog: Catalog) -> None:
        self.scope = scope
        self._catalog = catalog
        self._ports: dict[tuple[str, ...], str] = {}
        self._providers: dict[tuple[str, ...], str] = {}
        self._off: set[tuple[str, ...]] = set()
        for entry in scope.entries:
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        tokens, value = entry.tokens, entry.value
        kind_of_key = vocabulary.role(tokens)
        if kind_of_key is Role.PORT and value.word:
            self._ports.setdefault(vocabulary.subject(tokens), value.word)
        if kind_of_key is Role.SWITCH and value.switch is not None:
            off = value.switch if tokens[-1].startswith("disable") else not value.switch
            if off and (switched := vocabulary.switched(tokens)):
                self._off.add(switched)
        if vocabulary.may_be_provider(tokens) and value.word and (subject := vocabulary.subject(tokens)):
            chosen = words(value.word)
            nowhere = _NOWHERE.intersection(chosen) or "".join(chosen) in _NOWHERE
            if nowhere or (tokens[-1] in _CHOSEN_BY and value.word.lower() in _NOWHERE_CHOSEN):
                self._off.add(subject)
            elif kind := self._catalog.named(chosen):
                self._providers.setdefault(subject, kind)

    def live(self) -> Iterator[Entry]:
        """The entries that nothing switches off."""
        for entry in self.scope.entries:
            if not any(entry.tokens[:length] in self._off for length in range(1, len(entry.tokens))):
                yield entry

    def role(self, entry: Entry) -> Role:
        """What kind of value the entry's key announces."""
        return vocabulary.role(entry.tokens)

    def may_choose(self, entry: Entry) -> bool:
        """Whether the key may also be that of a choice: what a "connection" or a "broker" is, is not only where."""
        return vocabulary.may_be_provider(entry.tokens)

    def is_about_nothing(self, entry: Entry) -> bool:
        """Whether the key says no more than that its value is a place (HOST, server)."""
        return not vocabulary.subject(entry.tokens)

    def is_aside(self, entry: Entry) -> bool:
        """Whether the key is of a list or an address that is not dialled."""
        return vocabulary.is_aside(entry.tokens)

    def hint(self, entry: Entry) -> str | None:
        """The kind that the key names, the innermost part first."""
        return self._named(entry, weak=self.role(entry) is Role.LOCATION)

    def strong_hint(self, entry: Entry) -> str | None:
        """The same, without names that may also mean something else."""
        return self._named(entry, weak=False)

    def _named(self, entry: Entry, *, weak: bool) -> str | None:
        for part in reversed(entry.path):
            if kind := self._catalog.named(key_words(part), host=weak):
                return kind
        return None

    def provider(self, entry: Entry) -> str | None:
        """The kind that a neighbouring key chooses for what this key is about (DB_TYPE for DB_HOST)."""
        subject = vocabulary.subject(entry.tokens)
        for length in range(len(subject), 0, -1):
            if kind := self._providers.get(subject[:length]):
                return kind
        return None

    def port_beside(self, entry: Entry) -> str:
        """The port that a neighbouring key gives (DB_PORT for DB_HOST), or ""."""
        port = self._ports.get(vocabulary.subject(entry.tokens), "")
        return expand(port, lambda name: self.scope.variables.get(name, ""))

    def is_name_alone(self, entry: Entry) -> bool:
        """Whether the innermost key is a backend's name and nothing more (`mongo: user-db:27017`)."""
        return bool(entry.path) and self._catalog.is_name(entry.path[-1])

    def switched_on(self, entry: Entry) -> str | None:
        """The kind that a switch turns on: its name with nothing specific beside it (SESSION_REDIS, USE_KAFKA)."""
        tokens = vocabulary.switched(entry.tokens)
        if entry.in_file or entry.value.word or (entry.tokens and entry.tokens[-1].startswith("disable")):
            return None
        names = tuple(token for token in tokens if token not in _PLAIN)
        return self._catalog.named(names) if self._catalog.is_name("".join(names)) else None
