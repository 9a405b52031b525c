// Load sends requests over a fixed number of TLS connections and prints one JSON object of what it measured.
//
// Closed loop: each connection sends its next request when it has the answer to the last one. Open loop (-rate): the
// times of sending are fixed beforehand, and latency counts from there, also for a request that had to wait for a free
// connection, so a server that stalls cannot hide it.
//
// Times are milliseconds. The exit code is 0 also when requests failed: the output has their number.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"log"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"
)

type options struct {
	urls        string
	authority   string
	serverName  string
	certificate string
	key         string
	bodies      string
	expect      string
	connections int
	requests    int
	rate        int
	seconds     float64
	warmUp      float64
}

// Result is what is printed. Sent counts the warm-up too; OwnCPU is microseconds of this process for a request.
type Result struct {
	Requests   int     `json:"requests"`
	Sent       int     `json:"sent"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"firstError,omitempty"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"perSecond"`
	P50        float64 `json:"p50"`
	P90        float64 `json:"p90"`
	P99        float64 `json:"p99"`
	P999       float64 `json:"p999"`
	Max        float64 `json:"max"`
	OwnCPU     float64 `json:"ownCpu"`
}

func main() {
	log.SetFlags(0)
	given := options{}
	flag.StringVar(&given.urls, "url", "", "where to POST; of several, with commas between, connections take one each in turn")
	flag.StringVar(&given.authority, "ca", "", "the authority to trust, in PEM")
	flag.StringVar(&given.serverName, "server-name", "localhost", "the name to verify")
	flag.StringVar(&given.certificate, "cert", "", "a client certificate in PEM")
	flag.StringVar(&given.key, "key", "", "its key")
	flag.StringVar(&given.bodies, "bodies", "", "a file with one body in each line; each ######## becomes a number of the request")
	flag.StringVar(&given.expect, "expect", "", "text that every answer has to hold")
	flag.IntVar(&given.connections, "connections", 1, "how many connections")
	flag.IntVar(&given.requests, "requests", 100_000, "the most requests to send")
	flag.IntVar(&given.rate, "rate", 0, "requests per second in open loop; 0 for closed loop")
	flag.Float64Var(&given.seconds, "seconds", 1, "how long to send")
	flag.Float64Var(&given.warmUp, "warm-up", 0.2, "how long to send before, in closed loop, without counting")
	flag.Parse()
	if given.seconds > 60 || given.connections > 256 || given.rate > 100_000 {
		log.Fatal("at most 60 seconds, 256 connections and 100000 requests per second")
	}
	result, err := run(given)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func run(given options) (Result, error) {
	bodies, err := readBodies(given.bodies)
	if err != nil {
		return Result{}, err
	}
	trusting, err := tlsConfig(given)
	if err != nil {
		return Result{}, err
	}
	urls := strings.Split(given.urls, ",")
	connections := make([]*connection, given.connections)
	for i := range connections {
		if connections[i], err = newConnection(urls[i%len(urls)], trusting, bodies, given.expect); err != nil {
			return Result{}, err
		}
		defer connections[i].close()
	}
	closedLoop(connections, given.requests, given.warmUp)
	warmed := 0
	for _, one := range connections {
		warmed += len(one.latencies) + one.errors
		one.forget()
	}
	started, before := time.Now(), cpu()
	if given.rate > 0 {
		if err := openLoop(connections, given.rate, min(given.requests, int(given.seconds*float64(given.rate)))); err != nil {
			return Result{}, err
		}
	} else {
		closedLoop(connections, given.requests, given.seconds)
	}
	result := summary(connections, time.Since(started), cpu()-before)
	result.Sent = warmed + result.Requests
	return result, nil
}

func tlsConfig(given options) (*tls.Config, error) {
	authority, err := os.ReadFile(given.authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	config := &tls.Config{RootCAs: pool, ServerName: given.serverName, NextProtos: []string{"http/1.1"}}
	if given.certificate != "" {
		pair, err := tls.LoadX509KeyPair(given.certificate, given.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func summary(connections []*connection, took, spent time.Duration) Result {
	var latencies []time.Duration
	result := Result{Seconds: took.Seconds()}
	for _, one := range connections {
		latencies = append(latencies, one.latencies...)
		result.Errors += one.errors
		if result.FirstError == "" && one.firstError != nil {
			result.FirstError = one.firstError.Error()
		}
	}
	result.Requests = len(latencies) + result.Errors
	if len(latencies) == 0 {
		return result
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	result.PerSecond = float64(len(latencies)) / took.Seconds()
	result.P50, result.P90 = rank(latencies, 0.5), rank(latencies, 0.9)
	result.P99, result.P999 = rank(latencies, 0.99), rank(latencies, 0.999)
	result.Max = rank(latencies, 1)
	result.OwnCPU = float64(spent.Microseconds()) / float64(result.Requests)
	return result
}

// rank is the smallest latency that this share of all latencies does not exceed, in milliseconds.
func rank(sorted []time.Duration, share float64) float64 {
	place := int(share*float64(len(sorted))+0.999999) - 1
	return float64(sorted[max(0, min(place, len(sorted)-1))].Nanoseconds()) / 1e6
}

// cpu is what this process has spent so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
