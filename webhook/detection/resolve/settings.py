"""Relations between a container's settings: provider, port, on/off switches."""

from __future__ import annotations

from collections.abc import Iterable

from webhook.core.values import Value
from webhook.detection.catalog import Catalog
from webhook.detection.keys import Key
from webhook.detection.parse.references import expand
from webhook.detection.resolve.scope import Entry, Scope
from webhook.detection.words import Role, words

_NOWHERE = frozenset("sqlite sqlite3 memory inmemory local file filesystem h2 dummy noop embedded derby".split())
# The names that frameworks give to a mailer, a queue or a broadcaster that does not use the network.
_NOWHERE_CHOSEN = frozenset("log sync array null sendmail".split())
_CHOSEN_BY = frozenset({"mailer", "driver", "connection"})


class ContainerSettings:
    """The entries of one container, indexed by what they set for other entries."""

    def __init__(self, scope: Scope, catalog: Catalog) -> None:
        self.scope = scope
        self._catalog = catalog
        self._ports: dict[tuple[str, ...], str] = {}
        self._providers: dict[tuple[str, ...], str] = {}
        self._off: set[tuple[str, ...]] = set()
        for entry in scope.entries:
            self._note(entry.key, entry.value)

    def _note(self, key: Key, value: Value) -> None:
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
        entries = self.scope.entries
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

    def port_beside(self, key: Key) -> str:
        """Return the port that a neighbouring key sets (DB_PORT for DB_HOST), or ""."""
        port = self._ports.get(key.subject, "")
        return self.expanded(port) if port else ""

    def expanded(self, text: str) -> str:
        """Expand the references to the container's variables in a text."""
        return expand(text, self.scope.word)
