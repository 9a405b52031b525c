"""Parse a key, before its value is read: what it is about, what it announces, which backend it names.

Keys repeat from pod to pod, values do not. So a key is parsed once, and a value has to be read only where its key lets
it count.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

from webhook.detection.catalog import Catalog
from webhook.detection.words import (
    Role,
    encrypted_subject,
    is_aside,
    key_words,
    may_be_provider,
    role,
    says_where,
    subject,
    switched,
)

LONGEST_NAME = 253
"""Characters of a name, as for the key of a ConfigMap. A longer one is cut, since parsed keys are cached."""
# No meaningful key has more words, and each prefix of them is kept.
_MOST_WORDS = 64
_MOST_ABOVE = 32
# Words that may accompany a backend's name in the key of a switch that means "use it".
_PLAIN = frozenset("session sessions cache caching store storage queue broker use with is has active on db".split())


class Key:
    """The keys that lead to one value, parsed.

    Attributes:
        path: The keys, outermost first.
        tokens: The same as lower-case words.
        above: What they are part of: the words without the last one, two, and so on.
        role: What kind of value they announce.
        subject: What they are about, without the words that only classify the value.
        is_aside: Whether the value is a list or an address that is not a connection target.
        may_choose: Whether the value may be a choice: what a "connection" or a "broker" is, is not only where.
        locates: Whether the value is a place: by the last word, or because the innermost key is nothing but a
            backend's name (`mongo: user-db:27017`).
        switched: What the value switches, if it is a switch.
        switches: The kind that a switch turns on: its name with nothing specific next to it (SESSION_REDIS, USE_KAFKA).
        encrypts: What the value switches TLS for; None if it is about something else.
        is_quiet: Whether a single word as the value is never evidence, alone or with another setting.
    """

    def __init__(self, path: tuple[str, ...], catalog: Catalog) -> None:
        self._catalog = catalog
        self.path = path
        self.tokens = tokens = tuple(word for part in path for word in key_words(part))[-_MOST_WORDS:]
        self.above = tuple(tokens[:length] for length in range(1, min(len(tokens), _MOST_ABOVE)))
        self.role = role(tokens)
        self.subject = subject(tokens)
        self.is_aside = is_aside(tokens)
        self.may_choose = may_be_provider(tokens)
        self.locates = self.role is Role.LOCATION or (bool(path) and catalog.is_name(path[-1]))
        self.switched = switched(tokens)
        names = tuple(token for token in self.switched if token not in _PLAIN)
        self.switches = None
        if catalog.is_name("".join(names)) and not (tokens and tokens[-1].startswith("disable")):
            self.switches = catalog.named(names)
        self.encrypts = encrypted_subject(tokens)
        self.is_quiet = self.encrypts is None and not (
            self.locates or self.may_choose or self.switches or self.role in {Role.PORT, Role.SWITCH}
        )

    @cached_property
    def hint(self) -> str | None:
        """The kind that the keys name, the innermost part first."""
        return self._named(weak=self.role is Role.LOCATION)

    @cached_property
    def names_host(self) -> bool:
        """Whether a word as the value is a host, so that it may be shown, and looked up at the API server.

        A word that selects one of several means a host if the keys name a backend, too (REDIS_MASTER, not WALLET_SEED).
        """
        return self.role is Role.LOCATION and (says_where(self.tokens) or self.hint is not None)

    @cached_property
    def strong_hint(self) -> str | None:
        """The same, without names that may also mean something else."""
        return self._named(weak=False)

    def _named(self, *, weak: bool) -> str | None:
        kinds = (self._catalog.named(key_words(part), host=weak) for part in reversed(self.path))
        return next((kind for kind in kinds if kind is not None), None)


@lru_cache(maxsize=8192)
def key_of(catalog: Catalog, *path: str) -> Key:
    """Return the parsed keys of a path, cached for each catalog."""
    return Key(path, catalog)
