"""One case of the fuzz as a file that can be replayed without the generator that made it."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec

POLICIES = tuple(sorted(path.stem for path in (Path(__file__).parent / "policies").glob("*.yaml")))


@dataclass(frozen=True, slots=True)
class Case:
    """A review and all that its answer depends on, but for the real manifests.

    Attributes:
        seed: The seed of the fuzz.
        number: Which of its cases this is.
        policy: The name of a file in policies/.
        strict: Whether pods that are not as decided are refused.
        world: The generated objects around the pod.
        body: The body of the request.
        uid: The uid that the answer has to repeat.
        raw: The bytes sent over TLS; empty for a case in process.
        failure: The kind of the failure; empty as long as there is none.
    """

    seed: int
    number: int
    policy: str
    strict: bool
    world: list[dict[str, Any]]
    body: bytes
    uid: str | None = None
    raw: bytes = b""
    failure: str = ""

    def save(self, folder: Path) -> Path:
        """Write it below a folder, under the name of its failure."""
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", self.failure.lower()).strip("-")[:80]
        path = folder / f"{name}-{self.seed}-{self.number}.json"
        path.write_bytes(msgspec.json.encode(asdict(self)))
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one that was saved."""
        document = msgspec.json.decode(path.read_bytes())
        decoded = {field: base64.b64decode(document[field]) for field in ("body", "raw")}
        return cls(**document | decoded)

    def with_body(self, body: bytes) -> Self:
        """The same with another body, whose uid is not known."""
        return replace(self, body=body, uid=None)
