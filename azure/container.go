package azure

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// containerClient opens one Cosmos container, and opens it anew as long as the account has never answered: azcosmos 1.5.0 keeps the error of
// its first look at the account for five minutes, in which a cloud that was down at our start would stay unreachable.
type containerClient struct {
	config   Config
	name     string
	policies []policy.Policy

	mu       sync.Mutex
	client   *azcosmos.ContainerClient
	answered bool
}

func (c Config) container(name string, policies ...policy.Policy) (*containerClient, error) {
	cc := &containerClient{config: c, name: name, policies: append([]policy.Policy{partitionKeyPolicy{}}, policies...)}
	if c.Meter != nil {
		cc.policies = append(cc.policies, chargePolicy{c.Meter})
	}
	_, err := cc.get()
	return cc, err
}

// get returns the client; it makes no call.
func (c *containerClient) get() (*azcosmos.ContainerClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil {
		return c.client, nil
	}
	client, err := c.config.open(c.policies)
	if err != nil {
		return nil, badConfig(err)
	}
	container, err := client.NewContainer(cmp.Or(c.config.Database, defaultDatabase), c.name)
	if err != nil {
		return nil, badConfig(err)
	}
	c.client = container
	return container, nil
}

// judge notes how a call on client ended, and drops a client that never had an answer.
func (c *containerClient) judge(client *azcosmos.ContainerClient, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch status := statusOf(err); {
	case err == nil, status == http.StatusNotFound, status == http.StatusConflict, status == http.StatusPreconditionFailed:
		c.answered = true // not the account but the container speaks so
	case !c.answered && c.client == client:
		c.client = nil
	}
}

// call makes one call on the container.
func call[T any](c *containerClient, do func(*azcosmos.ContainerClient) (T, error)) (T, error) {
	client, err := c.get()
	if err != nil {
		var none T
		return none, err
	}
	out, err := do(client)
	c.judge(client, err)
	return out, err
}

func (c Config) open(policies []policy.Policy) (*azcosmos.Client, error) {
	o := &azcosmos.ClientOptions{ClientOptions: c.options()}
	o.PerRetryPolicies = policies
	o.Transport = c.boundedTransport()
	if c.CosmosKey.IsZero() {
		identity, err := c.identity()
		if err != nil {
			return nil, err
		}
		return azcosmos.NewClient(c.CosmosEndpoint, identity, o)
	}
	key, err := azcosmos.NewKeyCredential(c.CosmosKey.Reveal())
	if err != nil {
		return nil, err
	}
	return azcosmos.NewClientWithKey(c.CosmosEndpoint, key, o)
}

// bounded is a transport for requests that azcosmos makes on contexts of its own, without our deadlines: its looks at the account and at
// the partition key ranges, on which our calls wait. Three tries of one together take about as long as a call may.
type bounded struct {
	client, brief *http.Client
	timeout       time.Duration
}

func (c Config) boundedTransport() bounded {
	client := c.client()
	brief := *client
	brief.Timeout = c.timeout() / time.Duration(cmp.Or(c.Attempts, defaultAttempts))
	return bounded{client: client, brief: &brief, timeout: c.timeout()}
}

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	if deadline, ok := r.Context().Deadline(); ok && time.Until(deadline) <= b.timeout {
		return b.client.Do(r)
	}
	return b.brief.Do(r)
}
