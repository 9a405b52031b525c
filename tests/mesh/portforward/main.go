// Port-forwards to pods that are network namespaces, as their kubelet would: the API server passes requests on to it.
//
// Usage: portforward ADDRESS CERTIFICATE KEY
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

const (
	idle    = time.Minute
	patient = 10 * time.Second
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: portforward ADDRESS CERTIFICATE KEY")
	}
	http.HandleFunc("/portForward/{namespace}/{pod}", serve)
	log.Fatal(http.ListenAndServeTLS(os.Args[1], os.Args[2], os.Args[3], nil))
}

func serve(writer http.ResponseWriter, request *http.Request) {
	options, err := portforward.NewV4Options(request)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	protocols := []string{"portforward.k8s.io"}
	portforward.ServePortForward(writer, request, pods{}, request.PathValue("pod"), "", options, idle, patient, protocols)
}

type pods struct{}

// PortForward copies between a stream and a port at the loopback address of a pod.
func (pods) PortForward(_ context.Context, pod, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	connection, err := dial(pod, port)
	if err != nil {
		return err
	}
	defer connection.Close()
	ended := make(chan error, 2)
	copyAll := func(to io.Writer, from io.Reader) {
		_, err := io.Copy(to, from)
		ended <- err
	}
	go copyAll(connection, stream)
	go copyAll(stream, connection)
	return <-ended
}

// dial connects from within the pod's network namespace, on a thread that ends with it.
func dial(pod string, port int32) (net.Conn, error) {
	type result struct {
		connection net.Conn
		err        error
	}
	dialled := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others any more
		err := enter(pod)
		var connection net.Conn
		if err == nil {
			connection, err = net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patient)
		}
		dialled <- result{connection, err}
	}()
	found := <-dialled
	return found.connection, found.err
}

func enter(pod string) error {
	namespace, err := os.Open("/run/netns/" + pod)
	if err != nil {
		return err
	}
	return errors.Join(unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET), namespace.Close())
}
