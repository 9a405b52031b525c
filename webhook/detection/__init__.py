"""Infer the backends that a pod talks to from the pod and its cluster context. Pure.

`parse` reduces texts to values without their secrets, `resolve` puts together what one container is configured with and
resolves hosts to Services, `infer` concludes what is at the other end. `detect` is the entry point, `catalog.yaml` the
data.
"""
