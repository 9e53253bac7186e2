package localstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Meter is a proxy in front of an emulator. It counts the cost of each caller: calls, and DynamoDB's units. It starts before the emulator,
// whose functions use its Endpoint (Options.FunctionEndpoint):
//
//	meter, err := localstack.StartMeter()
//	emulator, err := localstack.Start(ctx, localstack.Options{FunctionEndpoint: meter.Endpoint})
//	err = meter.Forward(emulator.Endpoint)
//
// Calls between services (a queue's call of its function, a state machine's of its steps) do not pass the meter. On AWS they are not calls of
// the account either. The meter changes requests, which invalidates their signatures, so an emulator that enforces roles refuses them.
type Meter struct {
	// Endpoint is its URL, http://localhost:<port>.
	Endpoint string

	server *http.Server
	target atomic.Pointer[url.URL]

	mu      sync.Mutex
	usage   map[string]*Usage
	items   *itemSizes
	workers map[string]func(payload []byte)
}

// Usage counts the cost of a caller.
type Usage struct {
	// Calls counts requests, including retries, by service and operation: "dynamodb UpdateItem". For a service whose requests do not name their
	// operation, it has the method: "s3 GET".
	Calls map[string]int
	// Tables has the capacity units of DynamoDB by table, including indexes; see the function units.
	Tables map[string]Units
	// Refused counts the writes whose condition failed. Tables contains the least that each may have cost.
	Refused int
	// Invoked counts the invocations of functions, by the name or ARN that the caller gave.
	Invoked map[string]int
	// Events counts the events that were put on buses.
	Events int
}

// Units are capacity units of DynamoDB.
type Units struct{ Write, Read float64 }

// Total returns the number of all calls.
func (u Usage) Total() int {
	total := 0
	for _, n := range u.Calls {
		total += n
	}
	return total
}

// Units returns the units of all tables.
func (u Usage) Units() Units {
	var all Units
	for _, of := range u.Tables {
		all.Write, all.Read = all.Write+of.Write, all.Read+of.Read
	}
	return all
}

// Since returns the difference to an earlier usage of the same caller.
func (u Usage) Since(earlier Usage) Usage { return u.plus(earlier, -1) }

// Plus returns the sum of two usages.
func (u Usage) Plus(other Usage) Usage { return u.plus(other, 1) }

func (u Usage) plus(other Usage, sign int) Usage {
	sum := Usage{map[string]int{}, map[string]Units{}, u.Refused + sign*other.Refused, map[string]int{}, u.Events + sign*other.Events}
	for name := range both(u.Calls, other.Calls) {
		if n := u.Calls[name] + sign*other.Calls[name]; n != 0 {
			sum.Calls[name] = n
		}
	}
	for name := range both(u.Invoked, other.Invoked) {
		if n := u.Invoked[name] + sign*other.Invoked[name]; n != 0 {
			sum.Invoked[name] = n
		}
	}
	for table := range both(u.Tables, other.Tables) {
		a, b := u.Tables[table], other.Tables[table]
		if of := (Units{a.Write + float64(sign)*b.Write, a.Read + float64(sign)*b.Read}); of != (Units{}) {
			sum.Tables[table] = of
		}
	}
	return sum
}

func both[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return all
}

// StartMeter starts a meter on a free port. The meter refuses requests until Forward has been called.
func StartMeter() (*Meter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, fmt.Errorf("starting the meter: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is "tcp"
	m := &Meter{Endpoint: fmt.Sprintf("http://localhost:%d", port), usage: map[string]*Usage{}, items: newItemSizes(),
		workers: map[string]func([]byte){}}
	// A function keeps its connections for life, and waits on each for an answer.
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0), // the caller receives the error
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(m.target.Load())
			r.Out.Host = r.In.Host
		},
		ModifyResponse: m.read,
	}
	m.server = &http.Server{ //nolint:gosec // only this machine can reach it
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if m.target.Load() == nil {
				http.Error(w, "the meter has no target yet: call Forward first", http.StatusServiceUnavailable)
				return
			}
			r, err := m.enter(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if work := m.worker(r); work != nil {
				payload, err := io.ReadAll(r.Body)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				w.WriteHeader(http.StatusAccepted)
				work(payload)
				return
			}
			proxy.ServeHTTP(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	m.server.RegisterOnShutdown(transport.CloseIdleConnections)
	go func() { _ = m.server.Serve(listener) }()
	return m, nil
}

// Forward tells the meter where the emulator is.
func (m *Meter) Forward(endpoint string) error {
	target, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("the meter cannot forward to %q: %w", endpoint, err)
	}
	m.target.Store(target)
	return nil
}

// Employ makes the meter answer the asynchronous calls of a function itself, as Lambda does. It passes each payload to work, which must not block.
// So a benchmark can have hundreds of workers without a process for each.
func (m *Meter) Employ(function string, work func(payload []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers[function] = work
}

func (m *Meter) worker(r *http.Request) func([]byte) {
	function := functionOf(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[function[strings.LastIndexByte(function, ':')+1:]]
}

// Stop ends the meter and all requests in progress.
func (m *Meter) Stop() error { return m.server.Close() }

// Usage returns the cost of each caller so far, by the name that NameFunction gave it; "" holds all callers without a name.
func (m *Meter) Usage() map[string]Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	usage := make(map[string]Usage, len(m.usage))
	for caller, u := range m.usage {
		usage[caller] = u.Plus(Usage{})
	}
	return usage
}

// AppID names the variable that tells the SDKs the application's name, which they put in their requests.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-appid.html
const AppID = "AWS_SDK_UA_APP_ID"

// NameFunction makes a function send its name with its requests: at most 50 letters, digits and dashes. It updates the function's configuration.
func NameFunction(ctx context.Context, api *lambda.Client, function, caller string) error {
	is, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return fmt.Errorf("naming the function %s: %w", function, err)
	}
	variables := map[string]string{}
	if is.Environment != nil {
		maps.Copy(variables, is.Environment.Variables)
	}
	variables[AppID] = caller
	_, err = api.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &function,
		Environment: &types.Environment{Variables: variables}})
	if err != nil {
		return fmt.Errorf("naming the function %s: %w", function, err)
	}
	return nil
}

// call is a request in progress.
type call struct {
	caller, service, operation string
	body                       []byte // of DynamoDB only
}

type callKey struct{}

// enter records a request, and asks DynamoDB to return the consumed capacity.
func (m *Meter) enter(r *http.Request) (*http.Request, error) {
	c := call{callerOf(r), serviceOf(r), operationOf(r), nil}
	if c.service == "dynamodb" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, errors.New("the meter cannot read the request")
		}
		c.body = body
		m.items.learn(c.operation, body)
		body = askForCapacity(c.operation, body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	spent := Usage{Calls: map[string]int{c.service + " " + c.operation: 1}}
	if function := functionOf(r); function != "" {
		spent.Invoked = map[string]int{function: 1}
	}
	if c.operation == "PutEvents" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, errors.New("the meter cannot read the request")
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var put struct{ Entries []json.RawMessage }
		if json.Unmarshal(body, &put) == nil {
			spent.Events = len(put.Entries)
		}
	}
	m.count(c.caller, spent)
	return r.WithContext(context.WithValue(r.Context(), callKey{}, c)), nil
}

// read records the units that an answer of DynamoDB reports.
func (m *Meter) read(r *http.Response) error {
	c, ok := r.Request.Context().Value(callKey{}).(call)
	if !ok || c.service != "dynamodb" || r.StatusCode != http.StatusOK && !slices.Contains(writes, c.operation) {
		return nil
	}
	answer, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(answer))
	tables, refused, err := units(c.operation, c.body, answer, m.items)
	if err != nil {
		return err
	}
	m.count(c.caller, Usage{Tables: tables, Refused: refused})
	return nil
}

func (m *Meter) count(caller string, spent Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage[caller]
	if u == nil {
		u = &Usage{Calls: map[string]int{}, Tables: map[string]Units{}, Invoked: map[string]int{}}
		m.usage[caller] = u
	}
	for name, n := range spent.Calls {
		u.Calls[name] += n
	}
	for name, n := range spent.Invoked {
		u.Invoked[name] += n
	}
	for table, of := range spent.Tables {
		u.Tables[table] = Units{u.Tables[table].Write + of.Write, u.Tables[table].Read + of.Read}
	}
	u.Refused += spent.Refused
	u.Events += spent.Events
}

var (
	application = regexp.MustCompile(`(?:^| )app/([A-Za-z0-9-]+)`)
	credential  = regexp.MustCompile(`Credential=[^/]*/[^/]*/[^/]*/([^/]+)/aws4_request`)
)

func callerOf(r *http.Request) string {
	if found := application.FindStringSubmatch(r.UserAgent()); found != nil {
		return found[1]
	}
	return ""
}

// serviceOf returns the service that the request was signed for.
func serviceOf(r *http.Request) string {
	if found := credential.FindStringSubmatch(r.Header.Get("Authorization")); found != nil {
		return found[1]
	}
	return "unsigned"
}

func operationOf(r *http.Request) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	if _, operation, found := strings.Cut(r.URL.Path, "/operation/"); found { // https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
		return operation
	}
	if functionOf(r) != "" {
		return "Invoke"
	}
	return r.Method
}

// functionOf returns the function that a request invokes, or "".
func functionOf(r *http.Request) string {
	rest, found := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
	function, found2 := strings.CutSuffix(rest, "/invocations")
	if !found || !found2 {
		return ""
	}
	return function
}
