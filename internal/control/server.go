package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/tapstack/tapstack/stack"
)

// maxBody bounds the body of a request; it has room for an array of 100,000
// addresses.
const maxBody = 16 << 20

// Server answers requests about one Stack.
type Server struct {
	stack       *stack.Stack
	version     Version
	http        *http.Server
	connections connections
}

// NewServer returns a server for s that reports version.
func NewServer(s *stack.Stack, version Version) *Server {
	srv := &Server{stack: s, version: version}
	srv.http = &http.Server{Handler: srv.handler(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	return srv
}

// Serve answers requests that come in on l until Close; then it returns
// http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close closes the listener and all connections, also those to peers. A request
// that waits for DAD is treated as if its client had gone.
func (s *Server) Close() error {
	err := s.http.Close()
	s.connections.close() // the HTTP server does not know them any more
	return err
}

// handler routes requests. Each view has one path; GET shows it, POST adds to
// it or changes it, DELETE removes from it.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/addr", show(s, addresses))
	mux.HandleFunc("POST /v1/addr", s.addAddresses)
	mux.HandleFunc("DELETE /v1/addr", change(s.deleteAddress))
	mux.HandleFunc("POST /v1/addr/accept", change(s.acceptAddress))
	mux.HandleFunc("GET /v1/addr/failures", show(s, duplicates))
	mux.HandleFunc("GET /v1/route", show(s, routes))
	mux.HandleFunc("POST /v1/route", change(s.addRoute))
	mux.HandleFunc("DELETE /v1/route", change(s.deleteRoute))
	mux.HandleFunc("GET /v1/route/get", s.lookup)
	mux.HandleFunc("GET /v1/ra", show(s, routers))
	mux.HandleFunc("GET /v1/neigh", show(s, neighbors))
	mux.HandleFunc("POST /v1/neigh", change(s.addNeighbor))
	mux.HandleFunc("DELETE /v1/neigh", change(s.deleteNeighbor))
	mux.HandleFunc("POST /v1/neigh/flush", change(s.flushNeighbors))
	mux.HandleFunc("GET /v1/maddr", show(s, groups))
	mux.HandleFunc("POST /v1/maddr", change(s.joinGroup))
	mux.HandleFunc("DELETE /v1/maddr", change(s.leaveGroup))
	mux.HandleFunc("GET /v1/link", show(s, links))
	mux.HandleFunc("POST /v1/link", change(s.changeLink))
	mux.HandleFunc("POST /v1/ping", s.ping)
	mux.HandleFunc("POST /v1/connect", s.connect)
	mux.HandleFunc("GET /v1/connect", s.connectResult)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, r *http.Request) { reply(w, s.version) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "/" {
				fail(w, invalidf("%s does not take %s", r.URL.Path, r.Method))
				return
			}
		}
		fail(w, fmt.Errorf("%s: %w", r.URL.Path, errNoSuchPath))
	})
	return mux
}

var errNoSuchPath = errors.New("there is nothing at this path")

// show makes a handler that lists what view returns for one interface, or for
// all of them one after the other.
func show[T any](s *Server, view func(*stack.Interface, time.Time) []T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, err := query(r, "interface")
		if err != nil {
			fail(w, err)
			return
		}
		interfaces := s.stack.Interfaces()
		if name[0] != "" {
			i, err := s.iface(name[0])
			if err != nil {
				fail(w, err)
				return
			}
			interfaces = []*stack.Interface{i}
		}
		all := []T{} // an empty list is [], not null
		now := time.Now()
		for _, i := range interfaces {
			all = append(all, view(i, now)...)
		}
		reply(w, all)
	}
}

// change makes a handler that decodes a body, does something and answers {}.
func change[T any](do func(context.Context, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body T
		err := decode(w, r, &body)
		if err == nil {
			err = do(r.Context(), body)
		}
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, struct{}{})
	}
}

// iface finds an interface by name; without a name, the only one.
func (s *Server) iface(name string) (*stack.Interface, error) {
	if name == "" {
		all := s.stack.Interfaces()
		if len(all) != 1 {
			return nil, invalidf("there are %d interfaces: say which", len(all))
		}
		return all[0], nil
	}
	i, ok := s.stack.Interface(name)
	if !ok {
		return nil, fmt.Errorf("interface %s: %w", name, stack.ErrNoSuchInterface)
	}
	return i, nil
}

// query returns the values of the query parameters names and refuses others.
func query(r *http.Request, names ...string) ([]string, error) {
	q := r.URL.Query()
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = q.Get(name)
		if len(q[name]) > 1 {
			return nil, invalidf("the parameter %s is given more than once", name)
		}
		q.Del(name)
	}
	for name := range q {
		return nil, invalidf("%s has no parameter %q", r.URL.Path, name)
	}
	return values, nil
}

// decode reads the whole body, which also lets the server notice from now on
// when the client goes away, and decodes it into v.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := body(w, r)
	if err != nil {
		return err
	}
	return unmarshal(b, v)
}

func body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, invalidf("body: %v", err)
	}
	return b, nil
}

// unmarshal decodes exactly one JSON value that has no fields but those of v.
func unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalidf("body: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return invalidf("body: something follows the JSON value")
	}
	return nil
}

func invalidf(format string, args ...any) error {
	return invalidError{fmt.Errorf(format, args...)}
}

func reply(w http.ResponseWriter, v any) { write(w, http.StatusOK, v) }

func fail(w http.ResponseWriter, err error) { write(w, kindOf(err).status, errorOf(err)) }

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that is gone does not read the answer.
	_ = json.NewEncoder(w).Encode(v)
}
