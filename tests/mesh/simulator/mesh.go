package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	kubelib "istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/ptr"
)

const (
	rootNamespace   = "istio-system"
	tlsMode         = "security.istio.io/tlsMode"
	excludeInbound  = "traffic.sidecar.istio.io/excludeInboundPorts"
	excludeOutbound = "traffic.sidecar.istio.io/excludeOutboundPorts"
	exportTo        = "networking.istio.io/exportTo"
)

// document is a mesh as it is read: Pods, Services and Istio's objects as in a cluster. A Pod with the label that the
// injector sets has a sidecar, and its annotations exclude ports; what listens in it are its container ports, and it
// speaks whatever protocol a call is of. Endpoints are made by the Services' selectors.
type document struct {
	ID             string            `json:"id"`
	Objects        []json.RawMessage `json:"objects"`
	OutboundPolicy string            `json:"outboundTrafficPolicy"` // ALLOW_ANY (the default) or REGISTRY_ONLY
	NoAutoMTLS     bool              `json:"noAutoMtls"`            // enableAutoMtls: false
	Calls          []call            `json:"calls"`
}

// call is a connection from a pod to an address, and what is said on it.
type call struct {
	Origin   string `json:"origin"` // namespace/name of a pod
	Address  string `json:"address"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Host     string `json:"host"` // of HTTP requests, and the server name of the application's own TLS
}

type destination struct {
	address string
	port    int
}

// settings are those of meshes that can share a fake istiod.
type settings struct {
	registry   bool // REGISTRY_ONLY
	noAutoMTLS bool
}

type mesh struct {
	id         string
	settings   settings
	kubernetes []runtime.Object
	istio      []map[string]any
	calls      []call
	namespaces map[string]bool
	pods       map[string]*corev1.Pod // by namespace/name
	byAddress  map[string]*corev1.Pod
	services   map[destination][]destination // what kube-proxy does
	clusterIPs map[string]bool
}

func newMesh(read document) (*mesh, error) {
	m := &mesh{
		id:         read.ID,
		settings:   settings{read.OutboundPolicy == "REGISTRY_ONLY", read.NoAutoMTLS},
		calls:      read.Calls,
		namespaces: map[string]bool{},
		pods:       map[string]*corev1.Pod{},
		byAddress:  map[string]*corev1.Pod{},
		services:   map[destination][]destination{},
		clusterIPs: map[string]bool{},
	}
	var services []*corev1.Service
	for _, raw := range read.Objects {
		var head struct {
			metav1.TypeMeta `json:",inline"`
			Metadata        struct {
				Namespace string `json:"namespace"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, err
		}
		if head.Metadata.Namespace == "" {
			return nil, fmt.Errorf("a %s has no namespace", head.Kind)
		}
		m.namespaces[head.Metadata.Namespace] = true
		if group, _, found := strings.Cut(head.APIVersion, "/"); found && strings.HasSuffix(group, ".istio.io") {
			var one map[string]any
			if err := json.Unmarshal(raw, &one); err != nil {
				return nil, err
			}
			m.istio = append(m.istio, one)
			continue
		}
		object, _, err := kubelib.IstioCodec.UniversalDeserializer().Decode(raw, nil, nil)
		if err != nil {
			return nil, err
		}
		switch one := object.(type) {
		case *corev1.Pod:
			m.addPod(one)
		case *corev1.Service:
			services = append(services, one)
		default:
			return nil, fmt.Errorf("a mesh holds Pods, Services and Istio's objects, and no %s", head.Kind)
		}
	}
	for _, service := range services {
		m.addService(service)
	}
	for i, c := range read.Calls {
		if m.pods[c.Origin] == nil {
			return nil, fmt.Errorf("call %d is from %s, which is no Pod of the mesh", i, c.Origin)
		}
		if !slices.Contains(protocols, c.Protocol) {
			return nil, fmt.Errorf("call %d is of protocol %q: expected one of %v", i, c.Protocol, protocols)
		}
	}
	return m, nil
}

// addPod sets the API server's defaults, and what a kubelet says of a pod that runs.
func (m *mesh) addPod(pod *corev1.Pod) {
	for _, container := range pod.Spec.Containers {
		for i := range container.Ports {
			if container.Ports[i].Protocol == "" {
				container.Ports[i].Protocol = corev1.ProtocolTCP
			}
		}
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	m.pods[pod.Namespace+"/"+pod.Name] = pod
	m.byAddress[pod.Status.PodIP] = pod
	m.kubernetes = append(m.kubernetes, pod)
}

// addService sets the API server's defaults, and does what the EndpointSlice controller and kube-proxy do.
func (m *mesh) addService(service *corev1.Service) {
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if port.TargetPort.String() == "0" || port.TargetPort.String() == "" {
			port.TargetPort.IntVal = port.Port
		}
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
	}
	m.kubernetes = append(m.kubernetes, service)
	address := service.Spec.ClusterIP
	if address != "" && address != corev1.ClusterIPNone {
		m.clusterIPs[address] = true
	}
	if len(service.Spec.Selector) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m.pods)) {
		pod := m.pods[name]
		if pod.Namespace != service.Namespace || !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: service.Namespace,
				Name:      service.Name + "-" + pod.Name,
				Labels:    map[string]string{discoveryv1.LabelServiceName: service.Name},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses:  []string{pod.Status.PodIP},
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.Of(true)},
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name},
			}},
		}
		for _, port := range service.Spec.Ports {
			target, found := targetPort(pod, port)
			if !found {
				continue
			}
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
				Name: ptr.Of(port.Name), Port: ptr.Of(target), Protocol: ptr.Of(port.Protocol), AppProtocol: port.AppProtocol,
			})
			if port.Protocol != corev1.ProtocolTCP {
				continue
			}
			from := destination{address, int(port.Port)}
			m.services[from] = append(m.services[from], destination{pod.Status.PodIP, int(target)})
		}
		m.kubernetes = append(m.kubernetes, slice)
	}
}

func targetPort(pod *corev1.Pod, port corev1.ServicePort) (int32, bool) {
	if port.TargetPort.StrVal == "" {
		return port.TargetPort.IntVal, true
	}
	for _, container := range pod.Spec.Containers {
		for _, one := range container.Ports {
			if one.Name == port.TargetPort.StrVal {
				return one.ContainerPort, true
			}
		}
	}
	return 0, false
}

// route is where a packet for a destination arrives: nowhere, if it is for a Service without that port or endpoints.
func (m *mesh) route(to destination) []destination {
	if m.clusterIPs[to.address] {
		return m.services[to]
	}
	return []destination{to}
}

func injected(pod *corev1.Pod) bool {
	return pod != nil && pod.Labels[tlsMode] == "istio"
}

func listens(pod *corev1.Pod, port int) bool {
	for _, container := range pod.Spec.Containers {
		for _, one := range container.Ports {
			if int(one.ContainerPort) == port {
				return true
			}
		}
	}
	return false
}

func excludes(pod *corev1.Pod, annotation string, port int) bool {
	for _, one := range strings.Split(pod.Annotations[annotation], ",") {
		if strings.TrimSpace(one) == strconv.Itoa(port) {
			return true
		}
	}
	return false
}
