// Package serve is what the peers have in common: TLS 1.3 on one port with keep-alive, and one answer for each body.
package serve

import (
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net/http"
	"time"
)

// mostBytes is what the API server may send: two objects of 3 MiB.
const mostBytes = 8 << 20

// Run serves until the process ends. A body that cannot be answered is answered with status 400.
func Run(answer func(body []byte) ([]byte, error)) {
	listen := flag.String("listen", "127.0.0.1:8443", "host and port")
	certificate := flag.String("cert", "", "the serving certificate in PEM")
	key := flag.String("key", "", "its key in PEM")
	flag.Parse()
	server := &http.Server{
		Addr:        *listen,
		Handler:     handler(answer),
		IdleTimeout: 2 * time.Minute,
		ReadTimeout: 10 * time.Second,
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS13},
		// The API server speaks HTTP/1.1 to webhooks.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ListenAndServeTLS(*certificate, *key))
}

func handler(answer func(body []byte) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, mostBytes))
		if err != nil {
			http.Error(writer, "the body cannot be read", http.StatusBadRequest)
			return
		}
		answered, err := answer(body)
		if err != nil {
			http.Error(writer, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		writer.Header().Set("Content-Type", "application/json")
		writer.Write(answered)
	})
}
