package blob

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// onContainer routes an operation on a container.
func (c *call) onContainer() error {
	if !strings.EqualFold(c.get("restype"), "container") {
		return notImplemented() // a blob of the root container
	}
	read := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
	switch {
	case read && (c.comp == "" || c.comp == "metadata"):
		return c.getContainer()
	case c.r.Method == http.MethodGet && c.comp == "list":
		return c.listBlobs()
	case c.r.Method == http.MethodPut && c.comp == "":
		return c.createContainer()
	case c.r.Method == http.MethodPut && c.comp == "metadata":
		return c.setContainerMetadata()
	case c.r.Method == http.MethodPut && c.comp == "lease":
		return c.leaseContainer()
	case c.r.Method == http.MethodDelete && c.comp == "":
		return c.deleteContainer()
	case read || c.r.Method == http.MethodPut || c.r.Method == http.MethodPost:
		return notImplemented()
	}
	return unsupportedVerb()
}

// EnsureContainer creates a container unless there is one of that name.
func (s *Server) EnsureContainer(name string) error {
	if refusal := checkContainerName(name); refusal != nil {
		return refusal
	}
	_, err := s.create(name, nil, s.clock())
	if isCode(err, "ContainerAlreadyExists") {
		return nil
	}
	return err
}

func (s *Server) create(name string, meta map[string]string, now time.Time) (*container, error) {
	s.spaces.Lock()
	defer s.spaces.Unlock()
	if _, err := s.container(name); err == nil {
		return nil, conflict("ContainerAlreadyExists", "The specified container already exists.")
	} else if !isCode(err, "ContainerNotFound") {
		return nil, err
	}
	uid, err := counter(s.db, "uid")
	if err != nil {
		return nil, err
	}
	owner := &container{UID: uid, Tick: s.nextTick(now), Modified: now, Meta: meta}
	batch := s.db.NewBatch()
	defer batch.Close()
	if err := batch.Set([]byte("muid"), strconv.AppendUint(nil, uid+1, 10), nil); err != nil {
		return nil, err
	}
	if err := batch.Set(containerKey(name), encode(owner), nil); err != nil {
		return nil, err
	}
	return owner, batch.Commit(store.Sync)
}

func (c *call) createContainer() error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	if c.header("x-ms-blob-public-access") != "" {
		return conflict("PublicAccessNotPermitted",
			"Public access is not permitted on this storage account.")
	}
	owner, err := c.s.create(c.container, meta, c.now)
	if err != nil {
		return err
	}
	stamp(c.w.Header(), owner.Tick, owner.Modified)
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// getContainer is Get Container Properties and Get Container Metadata.
func (c *call) getContainer() error {
	owner, err := c.s.container(c.container)
	if err != nil {
		return err
	}
	if refusal := owner.Lease.guard(
		c.header("x-ms-lease-id"), "Container", c.now, true); refusal != nil {
		return refusal
	}
	h := c.w.Header()
	stamp(h, owner.Tick, owner.Modified)
	showMetadata(h, owner.Meta)
	if c.comp == "" {
		state, status, duration := owner.Lease.look(c.now)
		h.Set("x-ms-lease-state", state)
		h.Set("x-ms-lease-status", status)
		if duration != "" {
			h.Set("x-ms-lease-duration", duration)
		}
		h.Set("x-ms-has-immutability-policy", "false")
		h.Set("x-ms-has-legal-hold", "false")
		h.Set("x-ms-default-encryption-scope", "$account-encryption-key")
		h.Set("x-ms-deny-encryption-scope-override", "false")
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// changeContainer runs edit on a container while no blob of any is being changed, and stores it.
func (c *call) changeContainer(
	guard bool, edit func(*container, *pebble.Batch) error,
) (*container, error) {
	cond, refusal := conditionsOf(c.r.Header, "")
	if refusal != nil {
		return nil, refusal
	}
	c.s.spaces.Lock()
	defer c.s.spaces.Unlock()
	owner, err := c.s.container(c.container)
	if err != nil {
		return nil, err
	}
	if refusal := cond.change(owner.Tick, owner.Modified); refusal != nil {
		return nil, refusal
	}
	if guard {
		id := c.header("x-ms-lease-id")
		reading := c.r.Method != http.MethodDelete // only deleting needs the lease
		if refusal := owner.Lease.guard(id, "Container", c.now, reading); refusal != nil {
			return nil, refusal
		}
	}
	batch := c.s.db.NewBatch()
	defer batch.Close()
	if err := edit(owner, batch); err != nil {
		return nil, err
	}
	if batch.Empty() {
		if err := batch.Set(containerKey(c.container), encode(owner), nil); err != nil {
			return nil, err
		}
	}
	return owner, batch.Commit(store.Sync)
}

func (c *call) setContainerMetadata() error {
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	owner, err := c.changeContainer(true, func(owner *container, _ *pebble.Batch) error {
		owner.Meta, owner.Tick, owner.Modified = meta, c.s.nextTick(c.now), c.now
		return nil
	})
	if err != nil {
		return err
	}
	stamp(c.w.Header(), owner.Tick, owner.Modified)
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) leaseContainer() error {
	q, refusal := c.leaseRequest("Container")
	if refusal != nil {
		return refusal
	}
	status := 0
	owner, err := c.changeContainer(false, func(owner *container, _ *pebble.Batch) error {
		next, code, refusal := q.apply(owner.Lease, c.w.Header(), c.now)
		if refusal != nil {
			return refusal
		}
		owner.Lease, status = next, code
		return nil
	})
	if err != nil {
		return err
	}
	stamp(c.w.Header(), owner.Tick, owner.Modified)
	c.w.WriteHeader(status)
	return nil
}

// deleteContainer hides the container at once; Run removes what it held.
func (c *call) deleteContainer() error {
	_, err := c.changeContainer(true, func(owner *container, batch *pebble.Batch) error {
		if err := batch.Delete(containerKey(c.container), nil); err != nil {
			return err
		}
		return batch.Set(deletedKey(owner.UID), nil, nil)
	})
	if err != nil {
		return err
	}
	select {
	case c.s.deleted <- struct{}{}:
	default:
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// service routes an operation on the account.
func (c *call) service() error {
	restype := strings.ToLower(c.get("restype"))
	switch {
	case c.r.Method == http.MethodGet && c.comp == "list":
		return c.listContainers()
	case c.comp == "properties" && restype == "account" && c.r.Method != http.MethodPut:
		c.w.Header().Set("x-ms-sku-name", "Standard_LRS")
		c.w.Header().Set("x-ms-account-kind", "StorageV2")
		c.w.Header().Set("x-ms-is-hns-enabled", "false")
		c.w.WriteHeader(http.StatusOK)
		return nil
	case c.comp == "properties" && restype == "service" && c.r.Method == http.MethodGet:
		return c.writeXML([]byte(serviceProperties))
	}
	return notImplemented()
}

// serviceProperties is what an account starts with; setting them is not implemented.
const serviceProperties = xmlHead + `<StorageServiceProperties><Logging><Version>1.0</Version>` +
	`<Read>false</Read><Write>false</Write><Delete>false</Delete><RetentionPolicy>` +
	`<Enabled>false</Enabled></RetentionPolicy></Logging><HourMetrics><Version>1.0</Version>` +
	`<Enabled>false</Enabled><RetentionPolicy><Enabled>false</Enabled></RetentionPolicy>` +
	`</HourMetrics><MinuteMetrics><Version>1.0</Version><Enabled>false</Enabled><RetentionPolicy>` +
	`<Enabled>false</Enabled></RetentionPolicy></MinuteMetrics><Cors /><DeleteRetentionPolicy>` +
	`<Enabled>false</Enabled></DeleteRetentionPolicy><StaticWebsite><Enabled>false</Enabled>` +
	`</StaticWebsite></StorageServiceProperties>`
