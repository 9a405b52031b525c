"""The server: AdmissionReviews over TLS, and beside it the plain port for probes, metrics and the policy in force.

`serve` puts the parts together. A request goes through `app` (HTTP), `body` (its bytes), `admission` (the decision)
and is counted once by `observe`.
"""
