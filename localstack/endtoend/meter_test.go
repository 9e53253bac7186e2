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

// meter is a proxy between the functions and the local AWS, which remembers what they asked of it.
type meter struct {
	endpoint string
	server   *http.Server
	target   atomic.Pointer[url.URL] // it listens before there is an emulator, which has to know where functions find it

	mu    sync.Mutex
	calls map[string][]string // the bodies of calls, by operation
}

// metered is the operations that tests count.
var metered = map[string]bool{"GetMetricData": true, "TransactWriteItems": true}

func startMeter() (*meter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &meter{endpoint: "http://" + listener.Addr().String(), calls: map[string][]string{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(m.target.Load())
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		ErrorLog:  log.New(io.Discard, "", 0), // a function that is ended in the middle of a call
	}
	m.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.note(r)
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = m.server.Serve(listener) }()
	return m, nil
}

// note remembers a call to one of the metered operations.
func (m *meter) note(r *http.Request) {
	operation := path.Base(r.URL.Path) // CBOR: /service/<service>/operation/<operation>
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		operation = target[strings.LastIndex(target, ".")+1:]
	}
	if !metered[operation] {
		return
	}
	body, _ := io.ReadAll(r.Body) // a body that breaks off is the emulator's to refuse
	r.Body = io.NopCloser(bytes.NewReader(body))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[operation] = append(m.calls[operation], string(body))
}

// count is how many calls of an operation had all of these texts in their body.
func (m *meter) count(operation string, texts ...string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, body := range m.calls[operation] {
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
