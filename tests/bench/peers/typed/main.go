// Typed is the webhook that one would write in Go: net/http, encoding/json and the types of k8s.io/api. It decodes the
// review and the pod, adds one label, and detects nothing.
package main

import (
	"encoding/json"
	"errors"

	admission "k8s.io/api/admission/v1"
	core "k8s.io/api/core/v1"

	"sidecar-policy.dev/tests/bench/peers/serve"
)

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func main() { serve.Run(answer) }

func answer(body []byte) ([]byte, error) {
	var review admission.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, err
	}
	if review.Request == nil {
		return nil, errors.New("no request")
	}
	var pod core.Pod
	if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil {
		return nil, err
	}
	patch, err := json.Marshal(label(&pod))
	if err != nil {
		return nil, err
	}
	patchType := admission.PatchTypeJSONPatch
	review.Response = &admission.AdmissionResponse{
		UID:       review.Request.UID,
		Allowed:   true,
		Patch:     patch,
		PatchType: &patchType,
	}
	review.Request = nil
	return json.Marshal(review)
}

func label(pod *core.Pod) []operation {
	if pod.Labels == nil {
		return []operation{{"add", "/metadata/labels", map[string]string{"sidecar.istio.io/inject": "false"}}}
	}
	return []operation{{"add", "/metadata/labels/sidecar.istio.io~1inject", "false"}}
}
