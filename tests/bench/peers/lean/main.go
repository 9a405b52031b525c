// Lean is the fastest that Go's own encoding/json allows without giving up what a decision looks at: types that
// declare only those fields. It adds one label, and detects nothing.
package main

import (
	"encoding/json"
	"errors"

	"sidecar-policy.dev/tests/bench/peers/serve"
)

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID       string `json:"uid"`
	Operation string `json:"operation"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	DryRun    *bool  `json:"dryRun"`
	Object    pod    `json:"object"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	Patch     []byte `json:"patch"`
	PatchType string `json:"patchType"`
}

type pod struct {
	Metadata struct {
		Name            string            `json:"name"`
		GenerateName    string            `json:"generateName"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		OwnerReferences []owner           `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		ServiceAccountName string      `json:"serviceAccountName"`
		HostNetwork        bool        `json:"hostNetwork"`
		InitContainers     []container `json:"initContainers"`
		Containers         []container `json:"containers"`
		Volumes            []volume    `json:"volumes"`
	} `json:"spec"`
}

type owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

type container struct {
	Name    string   `json:"name"`
	Image   string   `json:"image"`
	Command []string `json:"command"`
	Args    []string `json:"args"`
	Env     []struct {
		Name      string `json:"name"`
		Value     string `json:"value"`
		ValueFrom *struct {
			ConfigMapKeyRef *reference `json:"configMapKeyRef"`
			SecretKeyRef    *reference `json:"secretKeyRef"`
		} `json:"valueFrom"`
	} `json:"env"`
	EnvFrom []struct {
		Prefix       string     `json:"prefix"`
		ConfigMapRef *reference `json:"configMapRef"`
		SecretRef    *reference `json:"secretRef"`
	} `json:"envFrom"`
}

type reference struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

type volume struct {
	Name      string     `json:"name"`
	ConfigMap *reference `json:"configMap"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func main() { serve.Run(answer) }

func answer(body []byte) ([]byte, error) {
	var asked review
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, err
	}
	if asked.Request == nil {
		return nil, errors.New("no request")
	}
	patch, err := json.Marshal(label(&asked.Request.Object))
	if err != nil {
		return nil, err
	}
	given := &response{UID: asked.Request.UID, Allowed: true, Patch: patch, PatchType: "JSONPatch"}
	return json.Marshal(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: given})
}

func label(asked *pod) []operation {
	if asked.Metadata.Labels == nil {
		return []operation{{"add", "/metadata/labels", map[string]string{"sidecar.istio.io/inject": "false"}}}
	}
	return []operation{{"add", "/metadata/labels/sidecar.istio.io~1inject", "false"}}
}
