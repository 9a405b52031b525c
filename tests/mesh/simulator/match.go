package main

import (
	"errors"
	"fmt"
	"slices"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pkg/wellknown"
)

// match asks the simulation what a sidecar does with a connection. What it does not model is added here:
// a client that says nothing, and that mTLS is passed on by a chain which does not terminate it.
func match(sidecar *proxy, mode simulation.CallMode, to destination, said stream, host string) (*hop, *answer) {
	asked := simulation.Call{
		Address:    to.address,
		Port:       to.port,
		Protocol:   simulation.TCP,
		TLS:        said.tls,
		HostHeader: host,
		CallMode:   mode,
	}
	switch said.protocol {
	case http1:
		asked.Protocol = simulation.HTTP
	case http2:
		asked.Protocol = simulation.HTTP2
	case tls:
		if said.tls == simulation.Plaintext {
			asked.TLS, asked.Sni = simulation.TLS, host
		}
	}
	if said.tls == simulation.MTLS && !said.told {
		asked.Alpn = "istio" // a sidecar that does not parse HTTP does not tell of it
	}
	matched := &hop{}
	asked.CustomListenerValidations = []simulation.CustomFilterChainValidation{func(chain *listener.FilterChain) error {
		matched.chain = chain
		matched.HTTP = slices.ContainsFunc(chain.Filters, func(one *listener.Filter) bool {
			return one.Name == wellknown.HTTPConnectionManager
		})
		return nil
	}}
	seen := sidecar.Run(asked)
	matched.Listener, matched.Chain, matched.Cluster = seen.ListenerMatched, seen.FilterChainMatched, seen.ClusterMatched
	end := "server's"
	if mode == simulation.CallModeOutbound {
		end = "client's"
	}
	if said.silent() && waits(sidecar, seen.ListenerMatched, to.port) {
		return matched, &answer{Result: hangs, Why: "the " + end + " sidecar waits for bytes to tell the protocol by"}
	}
	terminated := said.tls == simulation.Plaintext || matched.chain.GetTransportSocket() != nil
	if said.protocol == serverFirst && ((matched.HTTP && terminated) || (said.silent() && errors.Is(seen.Error, simulation.ErrTLSError))) {
		return matched, &answer{Result: hangs, Why: "the " + end + " sidecar waits for a request"}
	}
	if said.protocol == requestLike && terminated && errors.Is(seen.Error, simulation.ErrProtocolError) {
		return matched, &answer{Result: hangs, Why: "the " + end + " sidecar waits for the rest of a request"}
	}
	if seen.Error != nil {
		return matched, &answer{Result: resultOf(seen.Error), Why: fmt.Sprintf("at the %s sidecar: %v", end, seen.Error)}
	}
	if seen.VirtualHostMatched == "block_all" {
		return matched, &answer{Result: errorResponse, Why: "the " + end + " sidecar knows no such host"}
	}
	if seen.ClusterMatched == "" {
		return matched, &answer{Result: unknown, Why: "the " + end + " sidecar has a route to no single cluster"}
	}
	return matched, nil
}

func resultOf(problem error) string {
	switch {
	case errors.Is(problem, simulation.ErrNoFilterChain), errors.Is(problem, simulation.ErrTLSError):
		return reset
	case errors.Is(problem, simulation.ErrProtocolError), errors.Is(problem, simulation.ErrMTLSError):
		return protocolError
	case errors.Is(problem, simulation.ErrNoVirtualHost), errors.Is(problem, simulation.ErrNoRoute),
		errors.Is(problem, simulation.ErrTLSRedirect):
		return errorResponse
	}
	return unknown
}
