"""Send an AdmissionReview to the webhooks, as the API server does, and expect an answer to it."""

import json
import os
import ssl
import sys
import urllib.request
import uuid

context = ssl.create_default_context(cadata=os.environ["AUTHORITY"] or None)
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
    call = urllib.request.Request(sys.argv[1] + path, json.dumps(review).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=10, context=context) as answer:
        response = json.load(answer)["response"]
    if response["uid"] != uid or response["allowed"] is not True or response.get("warnings"):
        sys.exit(f"{path}: {response}")
    print(f"{path}: answered")
