package supervisor

import (
	"context"
	"net/http"

	"github.com/proa-cloud/proa"
)

// Remote is a client of a node that no supervisor here runs; it has no control socket.
func Remote(control, token string) *Client {
	return &Client{
		State: State{Addresses: Addresses{Node: control}, Credentials: Credentials{NodeToken: token}},
		http:  &http.Client{Transport: &http.Transport{MaxIdleConns: 4}},
	}
}

// Faults lists what is in force.
func (c *Client) Faults(ctx context.Context) ([]Fault, error) {
	var r FaultsReply
	err := c.supervisor(ctx, http.MethodGet, "/v1/faults", nil, &r)
	return r.Faults, err
}

// order posts to the control socket.
func (c *Client) order(ctx context.Context, path string, body any) error {
	return c.supervisor(ctx, http.MethodPost, path, body, nil)
}

// Kill ends a cloud with SIGKILL and leaves it dead.
func (c *Client) Kill(ctx context.Context, r proa.Region) error {
	return c.order(ctx, "/v1/kill/"+string(r), nil)
}

// Freeze stops a cloud's processes without ending them.
func (c *Client) Freeze(ctx context.Context, r proa.Region) error {
	return c.order(ctx, "/v1/freeze/"+string(r), nil)
}

// Heal ends a region's faults, starts it where it is dead, and waits until it serves.
func (c *Client) Heal(ctx context.Context, r proa.Region) error {
	return c.order(ctx, "/v1/heal/"+string(r), nil)
}

// HealAll ends every fault and starts what is dead.
func (c *Client) HealAll(ctx context.Context) error { return c.order(ctx, "/v1/heal/all", nil) }

// HealPartition ends all partitions.
func (c *Client) HealPartition(ctx context.Context) error {
	return c.order(ctx, "/v1/heal/partition", nil)
}

// Brownout makes a region slow and faulty; see Supervisor.Brownout.
func (c *Client) Brownout(ctx context.Context, r proa.Region, b Brownout, scope string) error {
	return c.order(ctx, "/v1/brownout/"+string(r), BrownoutOrder{Brownout: b, Scope: scope})
}

// Partition cuts a region off; see Supervisor.Partition.
func (c *Client) Partition(ctx context.Context, r proa.Region, p Partition, scope string) error {
	return c.order(ctx, "/v1/partition/"+string(r), PartitionOrder{Partition: p, Scope: scope})
}

// Skew moves the clock of a region or a node; see Supervisor.Skew.
func (c *Client) Skew(ctx context.Context, target string, k Skew) error {
	return c.order(ctx, "/v1/skew/"+target, k)
}

// Throttle refuses a share of a region's data requests.
func (c *Client) Throttle(ctx context.Context, r proa.Region, t Throttle) error {
	return c.order(ctx, "/v1/throttle/"+string(r), t)
}
