// Program simulator says what becomes of connections in meshes, by Istio's own simulation of the configuration that
// istiod makes (istio.io/istio/pilot/pkg/simulation), without a control plane, Envoy or network.
//
// It reads meshes from stdin, one JSON document a line, and writes a line for each of their calls. Many meshes are
// the namespaces of one fake istiod, since that takes half a second to start.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
)

func main() {
	size := flag.Int("batch", 100, "how many meshes share a fake istiod")
	flag.Parse()
	// Most of what is made is thrown away with its batch: collecting more seldom saves a third of the time.
	debug.SetGCPercent(400)
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
	if err := run(os.Stdin, os.Stdout, *size); err != nil {
		fmt.Fprintln(os.Stderr, "simulator:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, size int) error {
	meshes := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	answers := json.NewEncoder(out)
	waiting := map[settings]*batch{}
	flush := func(of settings) error {
		for _, answer := range waiting[of].answer() {
			if err := answers.Encode(answer); err != nil {
				return err
			}
		}
		waiting[of] = &batch{}
		return nil
	}
	for number := 1; ; number++ {
		var read document
		if err := meshes.Decode(&read); errors.Is(err, io.EOF) {
			var failed []error
			for of := range waiting {
				failed = append(failed, flush(of))
			}
			return errors.Join(failed...)
		} else if err != nil {
			return fmt.Errorf("mesh %d: %w", number, err)
		}
		next, err := newMesh(read)
		if err != nil {
			return fmt.Errorf("mesh %d (%s): %w", number, read.ID, err)
		}
		there := waiting[next.settings]
		if there == nil {
			there = &batch{}
			waiting[next.settings] = there
		}
		if len(there.meshes) >= size || !there.admits(next) {
			if err := flush(next.settings); err != nil {
				return err
			}
		}
		waiting[next.settings].add(next)
	}
}

// answer runs all calls of the batch; a mesh that cannot be built answers with the reason and spoils no other.
func (b *batch) answer() []answer {
	if len(b.meshes) == 0 {
		return nil
	}
	perMesh := make([][]answer, len(b.meshes))
	err := test.Wrap(func(t test.Failer) {
		istiod := start(t, b)
		var running sync.WaitGroup
		free := make(chan struct{}, runtime.GOMAXPROCS(0))
		for i, m := range b.meshes {
			running.Add(1)
			free <- struct{}{}
			go func() {
				defer func() { <-free; running.Done() }()
				perMesh[i] = m.answer(istiod)
			}()
		}
		running.Wait()
	})
	var all []answer
	for i, m := range b.meshes {
		switch {
		case err == nil:
			all = append(all, perMesh[i]...)
		case len(b.meshes) > 1:
			alone := batch{meshes: []*mesh{m}}
			all = append(all, alone.answer()...)
		default:
			for call := range m.calls {
				all = append(all, answer{Mesh: m.id, Call: call, Result: unknown, Wire: nothing, Why: err.Error()})
			}
		}
	}
	return all
}
