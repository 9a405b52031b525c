import functools
import json
import os
import queue
import signal
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
import typer.main
import typer.testing
import yaml
from hypothesis import HealthCheck, settings
from undisturbed import turn

pytest_plugins = ["loopback_api"]

# A machine that others use may be slow for a while: no example fails by its time. A failure in CI can be repeated.
settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("project")

# To make the commands of their annotations takes longer than to run one.
typer.testing._get_command = functools.cache(typer.main.get_command)


def pytest_configure():
    # A shell without job control has programs in the background ignore SIGINT, and they pass that on to theirs.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers():
    """Three workers for two cores: for a third of their time tests wait for a server, a signal or a deadline."""
    return -(-3 * len(os.sched_getaffinity(0)) // 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write anew what the golden cases expect")


@pytest.fixture(autouse=True, scope="session")
def temporary_directory(tmp_path_factory):
    """Programs that a test kills leave their temporary files where pytest removes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        yield


@dataclass
class ApiServer:
    """An API server on loopback that lists, watches and gets what a test puts into it, and takes changes of specs.

    Attributes:
        objects: What it has, by collection.
        requests: The path and the parameters of all that was asked, in order.
        refusals: A status and message to answer a request with, by the beginning of its path and parameters.
        page: Objects in a page, whatever was asked for.
        events: For each open watch its events, by collection.
        history: What watches were told or, as far as they were closed, missed, by collection.
    """

    objects: dict[str, dict[str, dict]] = field(default_factory=dict)
    requests: list[tuple[str, dict]] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    page: int = 2
    events: dict[str, list[queue.Queue]] = field(default_factory=dict)
    history: dict[str, list[dict]] = field(default_factory=dict)
    version: int = 100
    port: int = 0

    def put(self, collection, document, *, deliver=True):
        """Create or change an object, and tell it to the watches."""
        self.version += 1
        metadata = document["metadata"] | {"resourceVersion": str(self.version)}
        key = f"{metadata.get('namespace', '')}/{metadata['name']}"
        there = self.objects.setdefault(collection, {})
        kind = "MODIFIED" if key in there else "ADDED"
        there[key] = document | {"metadata": metadata}
        if deliver:
            self.tell(collection, {"type": kind, "object": there[key]})

    def delete(self, collection, key, *, deliver=True):
        """Delete the object of this "namespace/name"."""
        self.version += 1
        gone = self.objects[collection].pop(key)
        gone["metadata"]["resourceVersion"] = str(self.version)
        if deliver:
            self.tell(collection, {"type": "DELETED", "object": gone})

    def tell(self, collection, event):
        """Send a change to every watch of a collection, also to those that are opened later, from before it."""
        self.history.setdefault(collection, []).append(event)
        self.send(collection, event)

    def send(self, collection, event):
        """Send an event to every open watch of a collection; None ends them."""
        for events in self.events.get(collection, ()):
            events.put(event)

    def asked(self, collection, *, watch):
        """The parameters of the lists, or of the watches, of a collection."""
        asked = [parameters for path, parameters in self.requests if path == collection]
        return [parameters for parameters in asked if ("watch" in parameters) is watch]

    def refusal(self, target):
        return next((answer for prefix, answer in self.refusals.items() if target.startswith(prefix)), None)

    def listed(self, collection, parameters):
        items = list(self.objects.get(collection, {}).values())
        start = int(parameters.get("continue", 0))
        metadata = {"resourceVersion": str(self.version)}
        if start + self.page < len(items):
            metadata["continue"] = str(start + self.page)
        return {"kind": "List", "metadata": metadata, "items": items[start : start + self.page]}


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer

    def do_GET(self):
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query))
        self.api.requests.append((url.path, parameters))
        refusal = self.api.refusal(self.path)
        if refusal is not None:
            self.answer(refusal[0], {"kind": "Status", "message": refusal[1], "code": refusal[0]})
        elif "watch" in parameters:
            self.follow(url.path, int(parameters.get("resourceVersion", 0)))
        elif "limit" in parameters:
            self.answer(200, self.api.listed(url.path, parameters))
        else:
            self.one(url.path)

    def do_POST(self):
        document = self.read_body()
        collection, key = self.key_of(f"{self.path}/{document['metadata']['name']}")
        if key in self.api.objects.get(collection, {}):
            self.answer(409, {"kind": "Status", "message": "it exists", "code": 409})
            return
        namespace, _, name = key.partition("/")
        self.api.put(collection, document | {"metadata": {"namespace": namespace, "name": name}})
        self.answer(201, self.api.objects[collection][key])

    def do_PATCH(self):
        change = self.read_body()
        collection, key = self.key_of(self.path)
        there = self.api.objects.get(collection, {}).get(key)
        wanted = change.get("metadata", {}).get("resourceVersion")
        if there is None or wanted not in {None, there["metadata"]["resourceVersion"]}:
            self.answer(409, {"kind": "Status", "message": "it has changed", "code": 409})
            return
        self.api.put(collection, there | {"spec": there.get("spec", {}) | change.get("spec", {})})
        self.answer(200, self.api.objects[collection][key])

    def read_body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def key_of(self, path):
        """The collection in all namespaces, and the object's "namespace/name"."""
        collection, _, name = path.rpartition("/")
        prefix, _, rest = collection.partition("/namespaces/")
        namespace, _, resource = rest.partition("/")
        return (f"{prefix}/{resource}" if resource else collection), f"{namespace}/{name}"

    def one(self, path):
        collection, key = self.key_of(path)
        name = key.partition("/")[2]
        found = self.api.objects.get(collection, {}).get(key)
        self.answer(200 if found else 404, found or {"kind": "Status", "message": f"{name} not found", "code": 404})

    def follow(self, collection, since):
        events = queue.Queue()
        self.api.events.setdefault(collection, []).append(events)
        for event in tuple(self.api.history.get(collection, ())):
            if int(event["object"]["metadata"]["resourceVersion"]) > since:
                events.put(event)
        self.send_response(200)
        self.end_headers()
        while (event := events.get()) is not None:
            self.wfile.write(json.dumps(event).encode() + b"\n")
            self.wfile.flush()
        self.api.events[collection].remove(events)

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    """An API server on loopback."""
    api = ApiServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with server:
        yield api
        for collection in list(api.events):
            api.send(collection, None)
        server.shutdown()
    thread.join()


@pytest.fixture
def kubeconfig(api, tmp_path):
    """The way to it."""
    path = tmp_path / "kubeconfig"
    cluster = {"name": "test", "cluster": {"server": f"http://127.0.0.1:{api.port}"}}
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    user = {"name": "test", "user": {"token": "CANARY-token"}}
    document = {"apiVersion": "v1", "kind": "Config", "current-context": "test"}
    path.write_text(yaml.safe_dump(document | {"clusters": [cluster], "contexts": [context], "users": [user]}))
    return path
