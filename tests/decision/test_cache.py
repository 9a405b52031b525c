"""What is remembered of a pod never makes a decision another one than it would be anew."""

from __future__ import annotations

import gc
from functools import partial
from weakref import ref

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from webhook.core.budget import Budget
from webhook.core.recording import RecordingView
from webhook.core.surroundings import Service, ServicePort, Services
from webhook.decision.cache import DecisionCache, Lookup
from webhook.decision.engine import decide
from webhook.detection.catalog import Catalog
from webhook.detection.parse.content import read_content
from webhook.inventory.packed import Packed
from webhook.inventory.store import PodTemplate, Store
from webhook.kubernetes.pod import Pod
from webhook.policy.files import Source
from webhook.policy.load import build, default_policy

NAMESPACE = "shop"
POLICIES = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: own}
spec:
  detection:
    catalog:
      grid: {ports: [7000], images: [grid], names: [cache]}
  rules:
  - {name: grid, match: {dependencies: [grid]}, action: bypass}
  - {name: annotated, match: {annotations: {matchLabels: {tier: a}}, dependencies: [redis]}, action: inject}
---
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: cel}
spec:
  detection: {minConfidence: possible}
  rules:
  - {name: named, match: {when: "has(pod.metadata.name) && pod.metadata.name == 'pod-a'"}, action: inject}
  - {name: labelled, match: {namespaceLabels: {matchLabels: {tier: a}}, dependencies: [redis]}, action: skip}
  - {name: clients, match: {when: "'redis' in dependencies && !('redis' in serves)"}, action: skip}
"""
OWN, CEL = (build([Source("policy.yaml", text.encode())]) for text in POLICIES.split("---"))

NAMES = st.sampled_from(["cache", "db"])
LABELS = st.sampled_from(
    [None, {"app": "a"}, {"app": "b"}, {"app": "a", "tier": "a"}, {"app": "a", "sidecar.istio.io/inject": "false"}]
)
IMAGES = st.sampled_from(["shop/app", "redis:7", "grid", "nginx"])
TEXTS = st.sampled_from(["redis://cache", "cache:6379", "cache", "db:7000", "db", "http://db", "false", "${OTHER}"])
KEYS = st.sampled_from(["CACHE_HOST", "OTHER"])
VARIABLES = st.fixed_dictionaries({"name": KEYS}).flatmap(
    lambda variable: st.one_of(
        TEXTS.map(lambda text: variable | {"value": text}),
        st.tuples(st.sampled_from(["configMapKeyRef", "secretKeyRef"]), NAMES, KEYS).map(
            lambda read: variable | {"valueFrom": {read[0]: {"name": read[1], "key": read[2]}}}
        ),
    )
)
VOLUMES = st.sampled_from(
    [
        {"configMap": {"name": "cache"}},
        {"secret": {"secretName": "db"}},
        {"projected": {"sources": [{"serviceAccountToken": {}}, {"configMap": {"name": "kube-root-ca.crt"}}]}},
        {"projected": {"sources": [{"configMap": {"name": "db"}}]}},
    ]
)


def _pod(*, volume, volume_name, variables, env_from, image, **metadata):
    container = {
        "name": "app",
        "image": image,
        "env": variables,
        "envFrom": [{"configMapRef": {"name": name}} for name in env_from],
        "volumeMounts": [{"name": volume_name, "mountPath": "/etc/app"}],
    }
    return {"metadata": metadata, "spec": {"containers": [container], "volumes": [{"name": volume_name, **volume}]}}


OWNERS = st.lists(st.sampled_from(["Job", "StatefulSet"]).map(lambda kind: {"kind": kind, "name": "cache"}), max_size=1)
METADATA = st.one_of(
    st.sampled_from([None, "pod-a", "pod-b"]).map(lambda name: {"name": name}),
    LABELS.map(lambda labels: {"labels": labels}),
    LABELS.map(lambda annotations: {"annotations": annotations}),
    OWNERS.map(lambda owners: {"ownerReferences": owners}),
)
PODS = st.builds(
    _pod,
    volume=VOLUMES,
    volume_name=st.sampled_from(["kube-api-access-x7k2p", "kube-api-access-9wbzq", "config"]),
    variables=st.lists(VARIABLES, max_size=2),
    env_from=st.lists(NAMES, max_size=1),
    image=IMAGES,
    name=st.sampled_from([None, "pod-a", "pod-b"]),
    labels=LABELS,
    annotations=LABELS,
    ownerReferences=OWNERS,
)


def _remembering(cache, pod, namespace, *, document, surroundings, policy):
    case = Lookup(cache, pod, namespace, surroundings=surroundings, policy=policy)
    known = case.recall()
    return case.decide(document, Budget()) if known is None else known


class _Cluster(RuleBasedStateMachine):
    """A cluster in which anything may change between any two pods."""

    @initialize()
    def begin(self):
        self.store = Store()
        self.store.put_namespace(NAMESPACE, {"istio-injection": "enabled"})
        self.cache = DecisionCache()
        self.policy = default_policy()
        self.pods = []

    @rule(name=NAMES, keys=st.dictionaries(KEYS, TEXTS, max_size=2), secret=st.booleans())
    def put_contents(self, name, keys, secret):
        put = self.store.put_secret if secret else self.store.put_config_map
        put(NAMESPACE, name, {key: read_content(key, text) for key, text in keys.items()})

    @rule(name=NAMES, secret=st.booleans())
    def drop_contents(self, name, secret):
        (self.store.drop_secret if secret else self.store.drop_config_map)(NAMESPACE, name)

    @rule(name=NAMES | st.just("cache-db"), port=st.sampled_from([80, 6379, 7000]), selector=LABELS)
    def put_service(self, name, port, selector):
        self.store.put_service(Service(NAMESPACE, name, (ServicePort(port),), selector))

    @rule(name=NAMES | st.just("cache-db"))
    def drop_service(self, name):
        self.store.drop_service(NAMESPACE, name)

    @rule(name=NAMES, labels=LABELS, image=IMAGES)
    def put_workload(self, name, labels, image):
        self.store.put_template("Deployment", NAMESPACE, name, PodTemplate(labels or {}, (image,)))

    @rule(name=NAMES)
    def drop_workload(self, name):
        self.store.drop_template("Deployment", NAMESPACE, name)

    @rule(labels=LABELS)
    def label_the_namespace(self, labels):
        self.store.put_namespace(NAMESPACE, {"istio-injection": "enabled", **(labels or {})})

    @rule()
    def drop_the_namespace(self):
        self.store.drop_namespace(NAMESPACE)

    @rule(policy=st.sampled_from([default_policy(), OWN, CEL]))
    def replace_the_policy(self, policy):
        self.policy = policy

    @rule(pod=PODS)
    def create(self, pod):
        self.pods.append(pod)
        self.decide(pod)

    @rule(number=st.integers(0), other=METADATA)
    def create_one_that_is_nearly_the_same(self, number, other):
        if self.pods:
            pod = self.pods[number % len(self.pods)]
            self.decide(pod | {"metadata": pod["metadata"] | other})

    def decide(self, document):
        pod = msgspec.convert(document, Pod)

        def outcome(decided):
            asked = RecordingView(self.store)
            decision = decided(pod, NAMESPACE, document=lambda: document, surroundings=asked, policy=self.policy)
            return decision, asked.missed

        anew = outcome(decide)
        assert outcome(partial(_remembering, self.cache)) == anew
        assert outcome(partial(_remembering, self.cache)) == anew
        assert outcome(partial(decide, detect=self.cache.detect)) == anew


TestAMemoryAndNoneDecideAlike = _Cluster.TestCase


def _replica(number: int) -> Pod:
    document = _pod(
        name=f"basket-{number:05}",
        volume={"projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
        volume_name=f"kube-api-access-{number:05}",
        variables=[{"name": "CACHE", "value": "redis://:CANARY@cache"}],
        env_from=(),
        image="shop/basket",
        labels={"app": "basket"},
    )
    return msgspec.convert(document, Pod)


def test_a_thousand_replicas_are_detected_once():
    looks = []
    cache, store, catalog = DecisionCache(looks.append), Store(), Catalog.default()

    found = {cache.detect(_replica(number), NAMESPACE, store, catalog) for number in range(1000)}

    assert len(found) == 1
    assert (looks.count(False), looks.count(True)) == (1, 999)


class _Counting:
    """A policy that counts how often it is asked."""

    def __init__(self, policy):
        self.asked = 0
        self._policy = policy

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def ruling(self, facts):
        self.asked += 1
        return self._policy.ruling(facts)


def _decide(cache, policy, number, store):
    return _remembering(
        cache, _replica(number), NAMESPACE, document=dict, surroundings=RecordingView(store), policy=policy
    )


def _mesh():
    store = Store()
    store.put_namespace(NAMESPACE, {"istio-injection": "enabled"})
    return store


def test_a_thousand_replicas_are_decided_once_for_each_policy():
    cache, store = DecisionCache(), _mesh()
    for policy in (_Counting(default_policy()), _Counting(OWN)):
        decisions = {id(_decide(cache, policy, number, store)) for number in range(1000)}

        assert (policy.asked, len(decisions)) == (1, 1)


def test_a_policy_that_was_replaced_is_not_kept():
    cache, store, policy = (
        DecisionCache(),
        _mesh(),
        build([Source("policy.yaml", POLICIES.partition("---")[0].encode())]),
    )
    _decide(cache, policy, 1, store)
    kept = ref(policy)
    del policy
    gc.collect()

    assert kept() is None


def test_what_an_expression_made_of_the_whole_pod_is_not_remembered():
    cache, store, policy = DecisionCache(), _mesh(), _Counting(CEL)
    for number in range(5):
        _decide(cache, policy, number, store)

    assert policy.asked == 5


def test_another_service_of_the_namespace_is_looked_at_anew():
    looks = []
    cache, store, catalog = DecisionCache(looks.append), Store(), Catalog.default()
    for ports in ((), (), (ServicePort(6379),), (ServicePort(6379),)):
        store.put_service(Service(NAMESPACE, "front", ports, {"app": "basket"}))
        cache.detect(_replica(1), NAMESPACE, store, catalog)

    assert looks == [False, True, False, True]


def test_what_is_remembered_is_bounded_and_what_was_unused_for_longest_goes_first(monkeypatch):
    monkeypatch.setattr(DecisionCache, "MOST_FACTS", 10)
    looks = []
    cache, store, catalog = DecisionCache(looks.append), Store(), Catalog.default()
    for number in range(20):
        cache.detect(_replica(0), f"namespace-{number}", store, catalog)
        cache.detect(_replica(0), "namespace-0", store, catalog)

    assert cache.facts <= 10
    assert looks.count(True) == 20


def test_what_has_changed_in_the_cluster_is_not_kept():
    """All Services of a namespace take some 250 KB, and any tenant may change one before each pod."""
    cache, store, catalog = DecisionCache(), _mesh(), Catalog.default()

    def kept():
        gc.collect()
        return sum(isinstance(one, Services | Packed | Service) for one in gc.get_objects())

    before = kept()
    for number in range(20):
        store.put_config_map(NAMESPACE, "cache", Packed({"HOST": read_content("HOST", f"h{number}:6379")}))
        store.put_service(Service(NAMESPACE, "cache", (ServicePort(1000 + number),), {"app": "cache"}))
        env = [{"name": f"A{number}", "valueFrom": {"configMapKeyRef": {"name": "cache", "key": "HOST"}}}]
        env.append({"name": "CACHE", "value": "redis://cache"})
        pod = {"metadata": {}, "spec": {"containers": [{"name": "app", "env": env}]}}
        assert cache.detect(msgspec.convert(pod, Pod), NAMESPACE, store, catalog).dependencies

    assert len(cache) == 20
    assert kept() <= before + 4


def test_objects_that_were_written_again_without_a_change_answer_as_before():
    looks = []
    cache, store, catalog = DecisionCache(looks.append), Store(), Catalog.default()
    for _ in range(3):
        store.drop_service(NAMESPACE, "cache")
        store.put_service(Service(NAMESPACE, "cache", (ServicePort(6379),), {"app": "cache", "tier": "a"}))
        cache.detect(_replica(1), NAMESPACE, store, catalog)

    assert looks == [False, True, True]


def test_no_value_of_a_pod_is_kept():
    cache = DecisionCache()
    _decide(cache, default_policy(), 1, _mesh())
    (known,) = cache._known.values()

    assert known.decided is not None
    assert "CANARY" not in repr([cache._known, known.findings, known.answers, known.decided])


def test_long_names_count_for_what_they_take():
    def remembered(length):
        missing = [{"configMapRef": {"name": f"{number:02}" + "n" * length}} for number in range(20)]
        pod = msgspec.convert({"metadata": {}, "spec": {"containers": [{"name": "c", "envFrom": missing}]}}, Pod)
        cache = DecisionCache()
        cache.detect(pod, "shop", Store(), Catalog.default())
        return cache.facts

    assert remembered(240) >= 1.3 * remembered(10)
