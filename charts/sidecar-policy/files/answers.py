"""Send an AdmissionReview to each webhook, as the API server does, and check the response.

Arguments: the Service's name, its address, its port. Like the API server, this connects to the address and verifies
the name.
"""

import http.client
import json
import os
import socket
import ssl
import sys
import uuid

name, address, port = sys.argv[1:]
context = ssl.create_default_context(cadata=os.environ["AUTHORITY"] or None)
connection = http.client.HTTPSConnection(name, int(port), timeout=10)
connection.sock = context.wrap_socket(socket.create_connection((address, int(port)), timeout=10), server_hostname=name)
for path in ("/mutate", "/validate"):
    uid = str(uuid.uuid4())
    request = {
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "default",
        "operation": "CREATE",
        "dryRun": True,
        "object": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "helm-test", "namespace": "default"},
            "spec": {"containers": [{"name": "app", "image": "app"}]},
        },
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    connection.request("POST", path, json.dumps(review), {"Content-Type": "application/json"})
    response = json.load(connection.getresponse())["response"]
    if response["uid"] != uid or response["allowed"] is not True or response.get("warnings"):
        sys.exit(f"{path}: {response}")
    print(f"{path}: answered")
