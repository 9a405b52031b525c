package main

import (
	"fmt"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	corev1 "k8s.io/api/core/v1"

	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
)

const (
	clientFirst = "client-first"
	requestLike = "request-like" // bytes that may begin an HTTP request, so that a parser waits for more: AMQP
	serverFirst = "server-first"
	tls         = "tls"
	http1       = "http1"
	http2       = "http2"

	works         = "works"
	protocolError = "protocol error" // an answer that is none of the client's protocol
	errorResponse = "error response" // a sidecar answers HTTP with an error
	hangs         = "hangs"
	reset         = "reset"
	blackHole     = "black hole" // the client's sidecar ends it, and nothing arrives at a server
	refused       = "refused"
	unknown       = "unknown"

	nothing    = "nothing"
	connection = "connection" // without a byte
	plain      = "plain"
	mtls       = "mtls"
)

var protocols = []string{clientFirst, requestLike, serverFirst, tls, http1, http2}

// answer is what becomes of a call.
type answer struct {
	Mesh     string `json:"mesh"`
	Call     int    `json:"call"` // its index among the mesh's calls
	Result   string `json:"result"`
	Wire     string `json:"wire"` // what arrives at the server's pod
	Why      string `json:"why"`
	Outbound *hop   `json:"outbound,omitempty"` // at the client's sidecar
	Inbound  *hop   `json:"inbound,omitempty"`  // at the server's
}

// hop is what a sidecar matched.
type hop struct {
	Listener string `json:"listener"`
	Chain    string `json:"chain"`
	Cluster  string `json:"cluster"`
	HTTP     bool   `json:"http"` // whether the chain parses HTTP

	chain *listener.FilterChain
}

// stream is what is said on a connection at some point of its way.
type stream struct {
	protocol string
	tls      simulation.TLSMode
	told     bool // whether the client's sidecar parses HTTP, and tells of it in ALPN
}

// silent says whether the server gets nothing to read before it has spoken.
func (s stream) silent() bool {
	return s.protocol == serverFirst && s.tls == simulation.Plaintext
}

type tracer struct {
	*mesh
	istiod  *xds.FakeDiscoveryServer
	proxies map[string]*proxy
}

func (m *mesh) answer(istiod *xds.FakeDiscoveryServer) []answer {
	trace := &tracer{m, istiod, map[string]*proxy{}}
	answers := make([]answer, len(m.calls))
	for i, c := range m.calls {
		answers[i] = trace.follow(c)
		answers[i].Mesh, answers[i].Call = m.id, i
		if answers[i].Wire == "" {
			answers[i].Wire = nothing
		}
	}
	return answers
}

// follow goes with a call from its pod to whoever answers. The simulation gives up by ending its goroutine or by a panic.
func (t *tracer) follow(c call) (result answer) {
	done := make(chan answer, 1)
	go func() {
		gone := answer{Result: unknown, Why: "the simulation gave up"}
		defer func() {
			if problem := recover(); problem != nil {
				gone.Why = fmt.Sprint("the simulation gave up: ", problem)
			}
			done <- gone
		}()
		gone = t.outbound(c)
	}()
	return <-done
}

func (t *tracer) outbound(c call) answer {
	client := t.pods[c.Origin]
	to := destination{c.Address, c.Port}
	said := stream{protocol: c.Protocol, tls: simulation.Plaintext}
	if !injected(client) || excludes(client, excludeOutbound, c.Port) {
		return t.arriveAny(c, said, t.route(to), nil)
	}
	sidecar := t.proxy(client)
	matched, failure := match(sidecar, simulation.CallModeOutbound, to, said, c.Host)
	if failure != nil {
		failure.Outbound = matched
		return *failure
	}
	switch matched.Cluster {
	case "BlackHoleCluster":
		return answer{Result: blackHole, Why: "the client's sidecar knows no such destination", Outbound: matched}
	case "PassthroughCluster":
		return t.arriveAny(c, said, t.route(to), matched)
	}
	upstream := clusterOf(sidecar, matched.Cluster)
	if upstream == nil {
		gone := answer{Outbound: matched}.ended("no cluster " + matched.Cluster)
		if gone.Result == reset {
			gone.Result = blackHole
		}
		return gone
	}
	if matched.HTTP {
		said.protocol = upstreamCodec(upstream, said.protocol)
	}
	var all []answer
	for _, endpoint := range t.endpoints(sidecar, upstream, to) {
		sent := said
		sent.tls = transport(upstream, endpoint.metadata)
		sent.told = matched.HTTP
		all = append(all, t.arrive(c, sent, endpoint.destination, matched))
	}
	return merge(all, matched)
}

func (t *tracer) arriveAny(c call, said stream, to []destination, out *hop) answer {
	var all []answer
	for _, one := range to {
		all = append(all, t.arrive(c, said, one, out))
	}
	return merge(all, out)
}

// merge makes one answer of those of all endpoints.
func merge(all []answer, out *hop) answer {
	if len(all) == 0 {
		if out == nil {
			return answer{Result: refused, Why: "the Service has no such port, or no endpoint"}
		}
		return answer{Outbound: out}.ended("no endpoint")
	}
	for _, one := range all[1:] {
		if one.Result != all[0].Result || one.Wire != all[0].Wire {
			return answer{Result: unknown, Outbound: out, Why: fmt.Sprintf(
				"it depends on the endpoint: %s (%s), %s (%s)", all[0].Result, all[0].Why, one.Result, one.Why)}
		}
	}
	return all[0]
}

// ended is what a client sees of a connection that sidecars have accepted and cannot hand on.
func (a answer) ended(why string) answer {
	a.Result, a.Why = reset, why
	if (a.Outbound != nil && a.Outbound.HTTP) || (a.Inbound != nil && a.Inbound.HTTP) {
		a.Result = errorResponse
	}
	return a
}

func (t *tracer) arrive(c call, said stream, at destination, out *hop) answer {
	server := t.byAddress[at.address]
	result := answer{Wire: plain, Outbound: out}
	if said.tls == simulation.MTLS {
		result.Wire = mtls
	}
	if said.tls == simulation.TLS {
		result.Result, result.Why = unknown, "the client's sidecar originates TLS"
		return result
	}
	if injected(server) && !excludes(server, excludeInbound, at.port) {
		matched, failure := match(t.proxy(server), simulation.CallModeInbound, at, said, c.Host)
		result.Inbound = matched
		terminated := matched.chain.GetTransportSocket() != nil
		if failure != nil {
			if said.silent() {
				result.Wire = connection
			}
			if (out != nil && out.HTTP) || (said.tls == simulation.MTLS && !terminated) {
				return result.ended(failure.Why)
			}
			result.Result, result.Why = failure.Result, failure.Why
			return result
		}
		if terminated {
			said.tls = simulation.Plaintext
		}
		if matched.HTTP {
			if inner := clusterOf(t.proxy(server), matched.Cluster); inner != nil {
				said.protocol = upstreamCodec(inner, said.protocol)
			}
		}
	}
	switch {
	case server != nil && !listens(server, at.port):
		result = result.ended("nothing listens there")
		if result.Inbound == nil {
			result.Wire = connection
			if out == nil {
				result.Result = refused
			}
		}
	case said.tls == simulation.MTLS:
		result = result.ended("the client's sidecar starts mTLS, and nobody terminates it")
	case said.protocol != c.Protocol:
		result = result.ended(fmt.Sprintf("a sidecar turned %s into %s", c.Protocol, said.protocol))
	default:
		result.Result, result.Why = works, "the server gets what the client sent"
	}
	return result
}

func (t *tracer) proxy(pod *corev1.Pod) *proxy {
	name := pod.Namespace + "/" + pod.Name
	if t.proxies[name] == nil {
		t.proxies[name] = newProxy(t.istiod, pod)
	}
	return t.proxies[name]
}

func clusterOf(sidecar *proxy, name string) *cluster.Cluster {
	for _, one := range sidecar.Clusters {
		if one.Name == name {
			return one
		}
	}
	return nil
}
