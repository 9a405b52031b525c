package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/constants"
	meshdefaults "istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/test"
)

// batch is the meshes that share a fake istiod: they have settings in common, and neither namespaces nor addresses.
type batch struct {
	meshes []*mesh
	taken  map[string]bool
}

func (b *batch) admits(m *mesh) bool {
	if len(b.meshes) == 0 {
		return true
	}
	if b.taken[rootNamespace] || m.namespaces[rootNamespace] {
		return false
	}
	return !slices.ContainsFunc(m.claims(), func(claim string) bool { return b.taken[claim] })
}

func (b *batch) add(m *mesh) {
	if b.taken == nil {
		b.taken = map[string]bool{}
	}
	b.meshes = append(b.meshes, m)
	for _, claim := range m.claims() {
		b.taken[claim] = true
	}
}

func (m *mesh) claims() []string {
	claims := slices.Collect(maps.Keys(m.namespaces))
	return slices.AppendSeq(slices.AppendSeq(claims, maps.Keys(m.byAddress)), maps.Keys(m.clusterIPs))
}

// isolate keeps what a mesh exports to all namespaces to its own, for others are there that it must not see. A
// DestinationRule is looked for in the namespaces of the client and of the host alone.
func (m *mesh) isolate() {
	own := slices.Sorted(maps.Keys(m.namespaces))
	for _, object := range m.kubernetes {
		service, ok := object.(*corev1.Service)
		if !ok || (service.Annotations[exportTo] != "" && service.Annotations[exportTo] != "*") {
			continue
		}
		metav1.SetMetaDataAnnotation(&service.ObjectMeta, exportTo, strings.Join(own, ","))
	}
	for _, object := range m.istio {
		kind, _ := object["kind"].(string)
		if !slices.Contains([]string{"ServiceEntry", "VirtualService"}, kind) {
			continue
		}
		spec, _ := object["spec"].(map[string]any)
		exported, _ := spec["exportTo"].([]any)
		if spec != nil && (len(exported) == 0 || slices.Contains(exported, any("*"))) {
			spec["exportTo"] = own
		}
	}
}

// start starts a fake istiod that knows the meshes; it ends with t.
func start(t test.Failer, b *batch) *xds.FakeDiscoveryServer {
	settings := meshdefaults.DefaultMeshConfig()
	if b.meshes[0].settings.noAutoMTLS {
		settings.EnableAutoMtls = wrapperspb.Bool(false)
	}
	if b.meshes[0].settings.registry {
		settings.OutboundTrafficPolicy = &meshconfig.MeshConfig_OutboundTrafficPolicy{
			Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY,
		}
	}
	var kubernetes []runtime.Object
	var istio []config.Config
	for _, m := range b.meshes {
		if len(b.meshes) > 1 {
			m.isolate()
		}
		for name := range m.namespaces {
			kubernetes = append(kubernetes, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		kubernetes = append(kubernetes, m.kubernetes...)
		for _, object := range m.istio {
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			read, _, err := crd.ParseInputs(string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range read {
				one.Domain = constants.DefaultClusterLocalDomain // short hosts of DestinationRules are of this domain
				istio = append(istio, one)
			}
		}
	}
	istiod := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		KubernetesObjects: kubernetes,
		Configs:           istio,
		MeshConfig:        settings,
	})
	istiod.EnsureSynced(t)
	return istiod
}

// proxy is what a pod's sidecar works by.
type proxy struct {
	node *model.Proxy
	*simulation.Simulation
}

func newProxy(istiod *xds.FakeDiscoveryServer, pod *corev1.Pod) *proxy {
	node := istiod.SetupProxy(&model.Proxy{
		ID:              pod.Name + "." + pod.Namespace,
		ConfigNamespace: pod.Namespace,
		IPAddresses:     []string{pod.Status.PodIP},
		Labels:          pod.Labels,
		IstioVersion:    model.MaxIstioVersion,
		Metadata: &model.NodeMetadata{
			Namespace: pod.Namespace,
			Labels:    pod.Labels,
			ClusterID: constants.DefaultClusterName,
		},
	})
	// The simulation only calls it where it gives up, and that is caught where the calls are made.
	return &proxy{node, simulation.NewSimulation(&testing.T{}, istiod, node)}
}
