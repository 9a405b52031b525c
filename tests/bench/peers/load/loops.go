package main

import (
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// closedLoop lets each connection send one request after the other, until the time is over or enough were sent.
func closedLoop(connections []*connection, requests int, seconds float64) {
	var sent atomic.Int64
	deadline := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	each(connections, func(one *connection) {
		for time.Now().Before(deadline) && sent.Add(1) <= int64(requests) {
			one.prepare()
			one.post(time.Now())
		}
	})
}

// openLoop sends so many requests at a fixed rate, each over whichever connection is free.
func openLoop(connections []*connection, rate, requests int) error {
	interval := time.Second / time.Duration(rate)
	ticks, err := newTicker(interval)
	if err != nil {
		return err
	}
	defer ticks.Close()
	due := make(chan time.Time, requests)
	start := time.Now()
	go func() {
		defer close(due)
		var passed [8]byte
		for sent := 0; sent < requests; {
			if _, err := ticks.Read(passed[:]); err != nil {
				return
			}
			for left := binary.NativeEndian.Uint64(passed[:]); left > 0 && sent < requests; left-- {
				sent++
				due <- start.Add(time.Duration(sent) * interval)
			}
		}
	}()
	each(connections, func(one *connection) {
		one.prepare()
		for intended := range due {
			one.post(intended)
			one.prepare()
		}
	})
	return nil
}

// newTicker is a timer of the kernel's, since those of the Go runtime wake up to a millisecond late when it is idle.
func newTicker(interval time.Duration) (*os.File, error) {
	descriptor, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	every := unix.NsecToTimespec(interval.Nanoseconds())
	if err := unix.TimerfdSettime(descriptor, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(descriptor), "timer"), nil
}

func each(connections []*connection, work func(*connection)) {
	var all sync.WaitGroup
	for _, one := range connections {
		all.Go(func() { work(one) })
	}
	all.Wait()
}
