from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from certs.keeper import Keeper
from certs.secret import decode
from certs.state import Schedule, State

NAME = "sidecar-policy.mesh.svc"
SCHEDULE = Schedule(
    serving_lifetime=timedelta(minutes=20),
    authority_lifetime=timedelta(hours=1),
    trust_wait=timedelta(seconds=12),
    serve_wait=timedelta(seconds=40),
)


class Pause:
    """A point at which other replicas may go on."""

    def __await__(self):
        yield


@dataclass
class Stored:
    version: str
    labels: dict
    annotations: dict
    data: dict


@dataclass
class World:
    """A Secret, two webhook configurations and a clock, as the API server has them; every change is remembered.

    The fakes stand in for the API server alone. Each of their calls takes effect between two pauses, so whoever runs
    several keepers decides how they get into each other's way.
    """

    now: datetime = datetime(2026, 3, 1, tzinfo=UTC)
    secret: Stored | None = None
    bundles: list[bytes] = field(default_factory=lambda: [b"", b""])
    secrets: list[tuple[datetime, Stored | None]] = field(default_factory=list)
    used: list[list[tuple[datetime, bytes]]] = field(default_factory=lambda: [[], []])
    versions: list[int] = field(default_factory=lambda: [0, 0])
    problem: str = ""
    writes: int = 0
    installs: int = 0

    def keeper(self, *, names=(NAME,), schedule=SCHEDULE, skew=timedelta(0)) -> Keeper:
        return Keeper(
            FakeSecret(self), FakeConfigurations(self), names=names, schedule=schedule, clock=lambda: self.now + skew
        )

    def state(self) -> State | None:
        stored = self.secret
        return None if stored is None else decode(stored.labels, stored.annotations, stored.data)

    def store(self, stored: Stored | None) -> None:
        self.secret = stored
        self.secrets.append((self.now, stored))
        self.writes += 1

    def install(self, which: int, bundle: bytes) -> None:
        self.bundles[which] = bundle
        self.versions[which] += 1
        self.used[which].append((self.now, bundle))
        self.installs += 1

    def lose(self) -> None:
        """Somebody deletes the Secret."""
        self.store(None)

    def damage(self, key: str, value: bytes | None) -> None:
        """Somebody edits the Secret."""
        if self.secret is not None:
            data = {name: content for name, content in self.secret.data.items() if name != key}
            if value is not None:
                data[key] = value
            version = str(int(self.secret.version) + 1)
            self.store(Stored(version, self.secret.labels, self.secret.annotations, data))

    def act(self, keeper=None, *, times=1, force=None):
        """Run a keeper with nobody in its way."""
        keeper = keeper or self.keeper()
        for _ in range(times):
            look = run(keeper.act(force))
            force = None
        return look

    def settle(self, keeper=None) -> None:
        """Run a keeper, with the clock, until nothing is due."""
        keeper = keeper or self.keeper()
        for _ in range(60):
            look = run(keeper.act())
            if look.wrote:
                continue
            if look.step.reason == "nothing is due":
                return
            self.now = look.step.due
        raise AssertionError(f"not settled: {look.step}")


@dataclass
class FakeSecret:
    world: World

    async def read(self):
        await Pause()
        return self.world.secret

    async def create(self, kind, labels, annotations, data):
        await Pause()
        if self.world.secret is not None:
            return False
        # As the API server, which counts on even when an object is made anew.
        self.world.store(Stored(str(1000 * (1 + self.world.writes)), dict(labels), dict(annotations), dict(data)))
        return True

    async def change(self, version, annotations, data):
        await Pause()
        stored = self.world.secret
        if stored is None or stored.version != version:
            return False
        merged = Stored(
            str(int(version) + 1),
            stored.labels,
            {name: value for name, value in (stored.annotations | annotations).items() if value is not None},
            {name: value for name, value in (stored.data | data).items() if value is not None},
        )
        self.world.store(merged)
        return True


@dataclass
class FakeConfigurations:
    world: World

    async def read(self):
        found = []
        for which in range(2):
            await Pause()
            found.append(FakeConfiguration(self.world, which, self.world.versions[which], self.world.bundles[which]))
        return found


@dataclass
class FakeConfiguration:
    world: World
    which: int
    version: int
    bundle: bytes

    @property
    def name(self):
        return f"Configuration {self.which}"

    @property
    def bundles(self):
        return (self.bundle,)

    @property
    def problem(self):
        return self.world.problem

    async def install(self, bundle):
        await Pause()
        if self.world.versions[self.which] == self.version:
            self.world.install(self.which, bundle)
        return ""


def run(coroutine: Coroutine):
    """Run to the end, over all pauses."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(scope="session")
def kit():
    return SimpleNamespace(World=World, Stored=Stored, run=run, NAME=NAME, SCHEDULE=SCHEDULE)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def settled(world):
    """A world in which certificates are in service and nothing is due."""
    world.settle()
    return world
