"""The server: AdmissionReviews over TLS, and a plain port for probes, metrics, the active policy and drift.

`serve` composes the parts. A request passes through `http.app`, `http.body` and `admission`, and is recorded once by
`observe`.
"""
