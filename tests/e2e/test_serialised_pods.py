"""The form in which the tests hand pods to the server is the one that the API server gives them."""

import json

import pytest
import serialised
import shop

EMPTY = {"name": "EMPTY", "value": ""}
FIELD = {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
KEY = {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "k", "optional": False}}}


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "c", "image": "shop/app"}]},
        {
            "containers": [
                {
                    "name": "c",
                    "image": "shop/app:1",
                    "env": [EMPTY, FIELD, KEY],
                    "envFrom": [{"prefix": "", "configMapRef": {"name": "cfg"}}],
                    "args": ["", "a"],
                    "command": [],
                    "ports": [{"name": "", "containerPort": 80}],
                    "livenessProbe": {"exec": {"command": ["true"]}},
                    "volumeMounts": [
                        {"name": "v", "mountPath": "/etc/app", "subPath": "", "readOnly": False},
                        {"name": "p", "mountPath": "/p", "subPathExpr": "$(NS)"},
                        {"name": "e", "mountPath": "/e"},
                    ],
                }
            ],
            "initContainers": [{"name": "i", "image": "shop/init:latest", "restartPolicy": "Always", "env": []}],
            "volumes": [
                {"name": "v", "configMap": {"name": "cfg", "items": [{"key": "k", "path": "p"}]}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": "s", "optional": True}}]}},
                {"name": "e", "emptyDir": {}},
            ],
            "hostNetwork": False,
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["store"]}],
            "dnsConfig": {"searches": ["data.svc.cluster.local"]},
            "enableServiceLinks": False,
        },
    ],
    ids=["small", "with much that is empty"],
)
def test_a_pod_is_serialised_as_the_api_server_does(make_namespace, spec):
    here = make_namespace({})
    pod = shop.pod("app", spec)

    stored = here.create(pod, dry_run=True)["spec"]

    # The token's volume has another name each time.
    token = stored["volumes"][-1]["name"]
    expected = json.dumps(serialised.as_serialised(pod)["spec"]).replace(serialised.TOKEN, token)
    assert stored == json.loads(expected)
