package main

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamtls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamhttp "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/pkg/xds/endpoints"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/wellknown"
)

// What Envoy does and Istio's simulation leaves out: an inspector that waits, a transport socket chosen by an endpoint's
// metadata, the version of HTTP that goes upstream.

const (
	socketMatch = "envoy.transport_socket_match"
	httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// waits says whether a listener lets nobody through who says nothing: one of its inspectors is on for the port, and
// has no timeout, as is Istio's default.
func waits(sidecar *proxy, name string, port int) bool {
	found := xdstest.ExtractListener(name, sidecar.Listeners)
	if found.GetListenerFiltersTimeout().AsDuration() > 0 {
		return false
	}
	filters := xdstest.ExtractListenerFilters(found)
	for _, inspector := range []string{wellknown.TLSInspector, wellknown.HTTPInspector} {
		one, there := filters[inspector]
		if there && (one.FilterDisabled == nil || !xdstest.EvaluateListenerFilterPredicates(one.FilterDisabled, port)) {
			return true
		}
	}
	return false
}

type target struct {
	destination
	metadata *core.Metadata
}

func (t *tracer) endpoints(sidecar *proxy, upstream *cluster.Cluster, to destination) []target {
	assigned := upstream.GetLoadAssignment()
	switch upstream.GetType() {
	case cluster.Cluster_ORIGINAL_DST:
		var found []target
		for _, one := range t.route(to) {
			found = append(found, target{destination: one})
		}
		return found
	case cluster.Cluster_EDS:
		builder := endpoints.NewEndpointBuilder(upstream.Name, sidecar.node, t.istiod.PushContext())
		assigned = builder.BuildClusterLoadAssignment(t.istiod.Discovery.Env.EndpointIndex)
	}
	var found []target
	for _, locality := range assigned.GetEndpoints() {
		for _, one := range locality.LbEndpoints {
			found = append(found, target{addressOf(one), one.Metadata})
		}
	}
	return found
}

func addressOf(one *endpoint.LbEndpoint) destination {
	address := one.GetEndpoint().GetAddress().GetSocketAddress()
	return destination{address.GetAddress(), int(address.GetPortValue())}
}

// transport is how a cluster speaks to an endpoint: the first socket whose conditions the endpoint's metadata meets.
func transport(upstream *cluster.Cluster, metadata *core.Metadata) simulation.TLSMode {
	socket := upstream.GetTransportSocket()
	labels := metadata.GetFilterMetadata()[socketMatch].GetFields()
	for _, one := range upstream.GetTransportSocketMatches() {
		meets := true
		for name, value := range one.GetMatch().GetFields() {
			meets = meets && labels[name].GetStringValue() == value.GetStringValue()
		}
		if meets {
			socket = one.GetTransportSocket()
			break
		}
	}
	if socket == nil || socket.Name != wellknown.TransportSocketTLS {
		return simulation.Plaintext
	}
	context := &upstreamtls.UpstreamTlsContext{}
	if err := socket.GetTypedConfig().UnmarshalTo(context); err != nil {
		panic(err)
	}
	secrets := context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs()
	if len(secrets) > 0 && secrets[0].Name == "default" {
		return simulation.MTLS
	}
	return simulation.TLS
}

// upstreamCodec is the version of HTTP in which a request goes on.
func upstreamCodec(upstream *cluster.Cluster, received string) string {
	packed, found := upstream.GetTypedExtensionProtocolOptions()[httpOptions]
	if !found {
		return http1
	}
	options := &upstreamhttp.HttpProtocolOptions{}
	if err := packed.UnmarshalTo(options); err != nil {
		panic(err)
	}
	switch {
	case options.GetUseDownstreamProtocolConfig() != nil:
		return received
	case options.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
		return http2
	}
	return http1
}
