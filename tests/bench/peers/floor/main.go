// Floor reads the body and answers what it always answers: what is left is the cost of HTTP, TLS and the load generator.
package main

import "sidecar-policy.dev/tests/bench/peers/serve"

var constant = []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"","allowed":true}}`)

func main() {
	serve.Run(func([]byte) ([]byte, error) { return constant, nil })
}
