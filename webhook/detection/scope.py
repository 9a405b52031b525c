"""The settings of one container: what each says, where it stands, and how they refer to each other."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from webhook.core.pod import Container
from webhook.detection.content import Content, read_content
from webhook.detection.keys import Key
from webhook.detection.links import Links
from webhook.detection.mentions import Value, are_alike
from webhook.detection.references import reference

# Shorter words stand in many hosts by chance.
_SHORTEST_SECRET = 3
_ORIGIN = " ← Secret "


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

    @property
    def is_secret(self) -> bool:
        """Whether it comes from a Secret, as its trail says."""
        return _ORIGIN in self.trail

    def names_host(self, word: str) -> bool:
        """Whether a word is a host by its key or, outside of Secrets, by its domain; one of several may be a password.

        Args:
            word: A word without a port that the value says.
        """
        if len(self.value.mentions) > 1 and not are_alike([mention.host for mention in self.value.mentions]):
            return False
        return self.key.names_host or (word.split(".")[2:3] == ["svc"] and not self.is_secret)


class Scope:
    """All settings of one container, which may refer to each other.

    Attributes:
        container: The container.
        entries: The settings that may count.
        quiet: The environment variables that do not, since no such value counts under such a key, and their keys.
        variables: Each environment variable's content, or its text as long as nobody had to read it.
        arguments: Each argument that is a single word or number.
    """

    def __init__(self, container: Container, links: Links) -> None:
        self.container = container
        self.entries: list[Entry] = []
        self.quiet: dict[str, Key] = {}
        self.variables: dict[str, Content | str] = {}
        self.arguments: dict[str, str] = {}
        self._links = links
        self._secret_words: tuple[str, ...] | None = None

    def word(self, name: str) -> str:
        """The environment variable or argument of this name where it is a single word or number; else ""."""
        if name in self.variables or name not in self.arguments:
            return self.variable(name) or ""
        return self.arguments[name]

    def variable(self, name: str) -> str | None:
        """The environment variable of this name where it is a single word, else ""; None when it is not set."""
        return self.content(name).value.word if name in self.variables else self.link(name)

    def link(self, name: str) -> str | None:
        """The service link of this name: a host, a port or host:port; None where there is none, or it is overridden."""
        return None if name in self.variables else self._links.value(name)

    def refer(self, name: str) -> str | None:
        """Return how a text refers to an environment variable that is set, else None."""
        value = self.variable(name)
        return None if value is None else reference(name) or value

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

    def secret_words(self) -> tuple[str, ...]:
        """Words and hosts from Secrets, in lower case, which references to variables may bring into other settings."""
        if self._secret_words is None:
            values = [entry.value for entry in self.entries if _ORIGIN in entry.trail]
            words = {word for value in values for word in value.word.lower().split(":")}
            words |= {mention.host.lower() for value in values for mention in value.mentions}
            self._secret_words = tuple(word for word in words if len(word) >= _SHORTEST_SECRET)
        return self._secret_words

    def all_entries(self) -> Iterator[Entry]:
        """The settings, and behind them those that do not count."""
        yield from self.entries
        for name, key in self.quiet.items():
            yield Entry(key, f"env {name}", self.content(name).value)
