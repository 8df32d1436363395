package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/node"
)

const maxReply = 64 << 20

// Client talks to a running system on behalf of the command line: to the supervisor's control socket and to the node's control API.
type Client struct {
	Dir   string
	State State
	// Operator is who gives orders, for the audit.
	Operator string
	http     *http.Client
}

// Dial reads DIR/supervisor.json. It connects to nothing yet.
func Dial(dir string) (*Client, error) {
	state, err := ReadState(dir)
	if err != nil {
		return nil, err
	}
	return &Client{Dir: dir, State: state, http: &http.Client{Transport: &http.Transport{MaxIdleConns: 4}}}, nil
}

// Status asks the supervisor for the whole picture.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.supervisor(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Stop asks the supervisor to stop everything; it returns when it has been told.
func (c *Client) Stop(ctx context.Context) error {
	return c.supervisor(ctx, http.MethodPost, "/v1/stop", nil, nil)
}

func (c *Client) supervisor(ctx context.Context, method, path string, body, into any) error {
	err := c.call(ctx, method, c.State.Addresses.Control, c.State.Token, path, body, into)
	if errors.Is(err, proa.ErrUnavailable) {
		return c.down()
	}
	return err
}

func (c *Client) down() error {
	return &proa.Error{
		Op: "reach the system in " + c.Dir, Err: fmt.Errorf("%w: `proa up` does not run there", proa.ErrUnavailable),
		Hint: "start it with `proa up --dir " + c.Dir + "`",
	}
}

// stopped reports whether no supervisor listens, and so nothing of the system in Dir runs. A remote node has none.
func (c *Client) stopped(ctx context.Context) bool {
	if c.Dir == "" || ctx.Err() != nil {
		return false
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", c.State.Addresses.Control)
	if err != nil {
		return true
	}
	conn.Close()
	return false
}

// Node calls the control API of a node that is there; it passes on what another must answer.
func (c *Client) Node(ctx context.Context, method, path string, body, into any) error {
	err := c.call(ctx, method, c.anyNode(ctx), c.State.Credentials.NodeToken, path, body, into)
	if errors.Is(err, proa.ErrUnavailable) {
		if c.stopped(ctx) {
			return c.down()
		}
		return &proa.Error{Op: "reach a node", Err: err, Hint: "`proa status` says which run; see logs/node-*.log"}
	}
	return err
}

// NodeOf calls the named node's control API.
func (c *Client) NodeOf(ctx context.Context, name, method, path string, body, into any) error {
	for _, n := range c.State.Addresses.Nodes {
		if n.Name == name {
			return c.call(ctx, method, n.Control, c.State.Credentials.NodeToken, path, body, into)
		}
	}
	return fmt.Errorf("node %q: %w", name, proa.ErrNotFound)
}

// anyNode is the address of the node that answers first and knows who decides: one that is cut off can
// do little. One that is frozen takes a connection and would do what it was told long ago once it
// thaws, so an order goes to one that has just answered.
func (c *Client) anyNode(ctx context.Context) string {
	nodes := c.State.Addresses.Nodes
	if len(nodes) < 2 {
		return c.State.Addresses.Node
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout/2)
	defer cancel()
	type answer struct {
		addr  string
		alive node.Alive
	}
	answered := make(chan answer, len(nodes))
	for _, n := range nodes {
		go func() {
			a := answer{addr: n.Control}
			if c.call(ctx, http.MethodGet, n.Control, c.State.Credentials.NodeToken, "/v1/alive", nil, &a.alive) != nil {
				a.addr = ""
			}
			answered <- a
		}()
	}
	cutOff := c.State.Addresses.Node
	for range nodes {
		switch a := <-answered; {
		case a.addr != "" && a.alive.Leader != "":
			return a.addr
		case a.addr != "":
			cutOff = a.addr
		}
	}
	return cutOff
}

func (c *Client) call(ctx context.Context, method, addr, token, path string, body, into any) error {
	var payload io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, payload)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if c.Operator != "" {
		req.Header.Set(console.OperatorHeader, c.Operator)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("%w: %w", proa.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("%w: %w", proa.ErrUnavailable, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return c.stranger(addr)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(data, &refusal) == nil && refusal.Error != "" {
			return errors.New(refusal.Error)
		}
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// stranger is what a system says that does not know our token: another one listens where ours did.
func (c *Client) stranger(address string) error {
	e := &proa.Error{Op: "reach " + address, Err: errors.New("it takes another token"), Hint: "give the node's own token as node.control_token"}
	if c.Dir != "" {
		e.Hint = filepath.Join(c.Dir, "supervisor.json") + " is of another system: give the folder of the one that runs with --dir"
	}
	return e
}

// nodeTimeout bounds how long a status waits for a node that may be frozen.
const nodeTimeout = 800 * time.Millisecond
