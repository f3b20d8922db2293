package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// NoProcessError says that no tapstack process answers.
type NoProcessError struct{ Reason string }

func (e *NoProcessError) Error() string { return "no tapstack process answers: " + e.Reason }

// Client talks to one tapstack process.
type Client struct{ path string }

// NewClient returns a client of the control socket path. It connects anew for
// each request.
func NewClient(path string) *Client { return &Client{path} }

// Addresses lists the addresses of an interface, or of all if iface is empty.
func (c *Client) Addresses(ctx context.Context, iface string) ([]Address, error) {
	return get[[]Address](ctx, c, "/v1/addr", iface)
}

// AddAddress adds an address and, unless a.NoWait is set, returns when DAD has
// ended. If ctx ends first, the address is gone again when AddAddress returns.
func (c *Client) AddAddress(ctx context.Context, a NewAddress) error {
	return send(ctx, c, http.MethodPost, "/v1/addr", a)
}

// AddAddresses adds addresses all at once and returns those that could not be
// added. Of the rest, if ctx ends first, those still in DAD are taken away
// again.
func (c *Client) AddAddresses(ctx context.Context, as []NewAddress) ([]AddressFailure, error) {
	var failures []AddressFailure
	err := c.call(ctx, http.MethodPost, "/v1/addr", as, &failures)
	return failures, err
}

// DeleteAddress removes an address.
func (c *Client) DeleteAddress(ctx context.Context, a AddressRef) error {
	return send(ctx, c, http.MethodDelete, "/v1/addr", a)
}

// AcceptAddress assigns an address whose probes the link loops back
// (RFC 7527, section 4.1).
func (c *Client) AcceptAddress(ctx context.Context, a AddressRef) error {
	return send(ctx, c, http.MethodPost, "/v1/addr/accept", a)
}

// Duplicates lists the addresses that turned out to be duplicates.
func (c *Client) Duplicates(ctx context.Context, iface string) ([]Duplicate, error) {
	return get[[]Duplicate](ctx, c, "/v1/addr/failures", iface)
}

// Routes lists routes.
func (c *Client) Routes(ctx context.Context, iface string) ([]Route, error) {
	return get[[]Route](ctx, c, "/v1/route", iface)
}

// AddRoute adds a route.
func (c *Client) AddRoute(ctx context.Context, r RouteRef) error {
	return send(ctx, c, http.MethodPost, "/v1/route", r)
}

// DeleteRoute takes the operator's hold off a route.
func (c *Client) DeleteRoute(ctx context.Context, r RouteRef) error {
	return send(ctx, c, http.MethodDelete, "/v1/route", r)
}

// Lookup says how a packet to dst would be sent. Source may be empty.
func (c *Client) Lookup(ctx context.Context, iface, dst, source string) (Lookup, error) {
	return get[Lookup](ctx, c, "/v1/route/get", iface, "destination", dst, "source", source)
}

// Routers lists the routers that were heard.
func (c *Client) Routers(ctx context.Context, iface string) ([]Router, error) {
	return get[[]Router](ctx, c, "/v1/ra", iface)
}

// Neighbors lists the Neighbor Cache.
func (c *Client) Neighbors(ctx context.Context, iface string) ([]Neighbor, error) {
	return get[[]Neighbor](ctx, c, "/v1/neigh", iface)
}

// AddNeighbor makes a permanent entry.
func (c *Client) AddNeighbor(ctx context.Context, n NeighborRef) error {
	return send(ctx, c, http.MethodPost, "/v1/neigh", n)
}

// DeleteNeighbor removes an entry.
func (c *Client) DeleteNeighbor(ctx context.Context, n NeighborRef) error {
	return send(ctx, c, http.MethodDelete, "/v1/neigh", n)
}

// FlushNeighbors removes every entry but the permanent ones.
func (c *Client) FlushNeighbors(ctx context.Context, i InterfaceRef) error {
	return send(ctx, c, http.MethodPost, "/v1/neigh/flush", i)
}

// Groups lists group memberships.
func (c *Client) Groups(ctx context.Context, iface string) ([]Group, error) {
	return get[[]Group](ctx, c, "/v1/maddr", iface)
}

// JoinGroup joins a group, or some sources of it.
func (c *Client) JoinGroup(ctx context.Context, g GroupRef) error {
	return send(ctx, c, http.MethodPost, "/v1/maddr", g)
}

// LeaveGroup leaves a group that JoinGroup joined, or some sources of it.
func (c *Client) LeaveGroup(ctx context.Context, g GroupRef) error {
	return send(ctx, c, http.MethodDelete, "/v1/maddr", g)
}

// Links lists interfaces.
func (c *Client) Links(ctx context.Context, iface string) ([]Link, error) {
	return get[[]Link](ctx, c, "/v1/link", iface)
}

// ChangeLink takes an interface up or down, or sets its MTU.
func (c *Client) ChangeLink(ctx context.Context, l LinkChange) error {
	return send(ctx, c, http.MethodPost, "/v1/link", l)
}

// Ping sends one Echo Request and returns its reply.
func (c *Client) Ping(ctx context.Context, p Ping) (pong Pong, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/ping", p, &pong)
	return pong, err
}

// Version says what the process was built from.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return get[Version](ctx, c, "/v1/version", "")
}

// Events calls yield with each event, one line of JSON without its newline,
// from the event after number since on; nil: from now on. It returns nil when
// ctx ends, yield's error, or an error if the process ends.
func (c *Client) Events(ctx context.Context, since *uint64, yield func(line []byte) error) error {
	path := "/v1/events"
	if since != nil {
		path += "?since=" + strconv.FormatUint(*since, 10)
	}
	conn, resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if err := yield(lines.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return &NoProcessError{"it has ended the stream of events"}
}

// get asks for a view. Query is names and values in turn; empty values are
// left out.
func get[T any](ctx context.Context, c *Client, path, iface string, query ...string) (answer T, err error) {
	q := make(url.Values)
	query = append(query, "interface", iface)
	for i := 0; i < len(query); i += 2 {
		if query[i+1] != "" {
			q.Set(query[i], query[i+1])
		}
	}
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	err = c.call(ctx, http.MethodGet, path, nil, &answer)
	return answer, err
}

// send makes a request whose answer is an empty object or an error.
func send(ctx context.Context, c *Client, method, path string, body any) error {
	return c.call(ctx, method, path, body, &struct{}{})
}

// call makes one request and decodes its answer.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	conn, resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("answer of the tapstack process at %s: %w", c.path, err)
	}
	return nil
}

// undoTime is how long a process has for taking back what an interrupted
// request had begun.
const undoTime = 5 * time.Second

// do makes one request on a connection of its own and returns both once the
// header of a success is there. If ctx ends earlier, do closes only its own
// direction of the connection: the server sees that nobody waits any more,
// undoes what it has begun, and says so.
func (c *Client) do(ctx context.Context, method, path string, body any) (net.Conn, *http.Response, error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return nil, nil, err
		}
	}
	req, err := http.NewRequest(method, "http://tapstack"+path, &payload)
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", c.path)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, nil, &NoProcessError{fmt.Sprintf("%s: %v", c.path, err)}
	}
	resp, err := roundTrip(ctx, conn.(*net.UnixConn), req)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, resp, nil
}

func roundTrip(ctx context.Context, conn *net.UnixConn, req *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(ctx, func() {
		conn.SetReadDeadline(time.Now().Add(undoTime))
		conn.CloseWrite()
	})
	defer stop()
	if err := req.Write(conn); err != nil {
		return nil, lostConnection(ctx, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, lostConnection(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	var e Error
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Message == "" || e.Exit == 0 {
		return nil, fmt.Errorf("unexpected answer of the tapstack process: %s", resp.Status)
	}
	return nil, &e
}

func lostConnection(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &NoProcessError{"it ended before it answered"}
	}
	return &NoProcessError{err.Error()}
}
