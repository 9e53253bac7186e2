package endtoend

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// witness is a proxy between the functions and the local AWS that records their calls.
type witness struct {
	endpoint string
	server   *http.Server
	target   atomic.Pointer[url.URL] // set once the emulator has started, which needs the proxy's address

	mu    sync.Mutex
	calls map[string][]string // the bodies of calls, by operation
}

// witnessed lists the operations that a witness records.
var witnessed = map[string]bool{"GetMetricData": true, "TransactWriteItems": true}

func startWitness() (*witness, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &witness{endpoint: "http://" + listener.Addr().String(), calls: map[string][]string{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(w.target.Load())
			r.Out.Host = r.In.Host // the signature covers it
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		ErrorLog:  log.New(io.Discard, "", 0), // functions may end in the middle of a call
	}
	w.server = &http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		w.note(r)
		proxy.ServeHTTP(answer, r)
	})}
	go func() { _ = w.server.Serve(listener) }()
	return w, nil
}

// note records a call to one of the witnessed operations.
func (w *witness) note(r *http.Request) {
	operation := path.Base(r.URL.Path) // CBOR: /service/<service>/operation/<operation>
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		operation = target[strings.LastIndex(target, ".")+1:]
	}
	if !witnessed[operation] {
		return
	}
	body, _ := io.ReadAll(r.Body) // the emulator refuses a truncated body
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[operation] = append(w.calls[operation], string(body))
}

// count returns the number of calls of an operation whose body contained all of these texts.
func (w *witness) count(operation string, texts ...string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, body := range w.calls[operation] {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(body, text)
		}
		if has {
			n++
		}
	}
	return n
}
