package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

var mark = []byte("########")

const patience = 10 * time.Second

// numbers goes on through all connections. It begins anywhere, so that two runs do not send the same.
var numbers atomic.Uint32

func init() { numbers.Store(rand.Uint32()) }

// body is one request's body, and where it has marks.
type body struct {
	text  []byte
	marks []int
}

func readBodies(path string) ([]body, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var bodies []body
	for line := range bytes.Lines(content) {
		text := bytes.TrimSpace(line)
		one := body{text: text}
		for from := 0; ; {
			found := bytes.Index(text[from:], mark)
			if found < 0 {
				break
			}
			one.marks = append(one.marks, from+found)
			from += found + len(mark)
		}
		bodies = append(bodies, one)
	}
	if len(bodies) == 0 {
		return nil, fmt.Errorf("%s has no body", path)
	}
	return bodies, nil
}

// connection is one connection to the server, opened anew after an error.
type connection struct {
	address    string
	path       string
	tls        *tls.Config
	bodies     []body
	expect     []byte
	socket     *tls.Conn
	reader     *bufio.Reader
	request    []byte
	answer     bytes.Buffer
	latencies  []time.Duration
	errors     int
	firstError error
}

func newConnection(to string, trusting *tls.Config, bodies []body, expect string) (*connection, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	one := &connection{
		address: target.Host,
		path:    target.RequestURI(),
		tls:     trusting,
		bodies:  bodies,
		expect:  []byte(expect),
	}
	return one, one.open()
}

func (c *connection) open() error {
	socket, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", c.address, c.tls)
	if err != nil {
		return err
	}
	c.socket, c.reader = socket, bufio.NewReaderSize(socket, 64<<10)
	return nil
}

func (c *connection) close() { c.socket.Close() }

// forget starts counting anew.
func (c *connection) forget() {
	c.latencies, c.errors, c.firstError = nil, 0, nil
}

// post sends the request that was prepared, reads the answer, and notes how long after `intended` it came.
func (c *connection) post(intended time.Time) {
	if err := c.exchange(); err != nil {
		c.errors++
		if c.firstError == nil {
			c.firstError = err
		}
		c.close()
		if err := c.open(); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
		return
	}
	c.latencies = append(c.latencies, time.Since(intended))
}

func (c *connection) exchange() error {
	if err := c.socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.socket.Write(c.request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	c.answer.Reset()
	if _, err := c.answer.ReadFrom(response.Body); err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("status %d: %.300s", response.StatusCode, c.answer.Bytes())
	}
	if !bytes.Contains(c.answer.Bytes(), c.expect) {
		return fmt.Errorf("%q is not in the answer", c.expect)
	}
	return nil
}

// prepare makes the next request, in the buffer of the last one.
func (c *connection) prepare() {
	number := numbers.Add(1)
	next := c.bodies[int(number)%len(c.bodies)]
	c.request = fmt.Appendf(c.request[:0],
		"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n",
		c.path, c.address, len(next.text))
	start := len(c.request)
	c.request = append(c.request, next.text...)
	digits := fmt.Appendf(nil, "%08x", number)
	for _, at := range next.marks {
		copy(c.request[start+at:], digits)
	}
}
