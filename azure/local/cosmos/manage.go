package cosmos

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
	"github.com/proa-cloud/proa/internal/store"
)

// ContainerSpec describes a container to be provisioned.
type ContainerSpec struct {
	ID                string
	PartitionKeyPaths []string // one: Hash version 2; several: MultiHash
	DefaultTTL        *int64   // seconds, -1: on without default; nil: off
	Ranges            int      // physical partitions, 0: Config.Ranges
	Throughput        int      // RU/s of its own offer, 0: none (serverless)
}

// EnsureDatabase creates the database unless it is there.
func (s *Server) EnsureDatabase(id string) error {
	if _, err := s.createDatabase(value.OfString(id), nil); err != nil && err.Status != 409 {
		return fmt.Errorf("create database %q: %w", id, err)
	}
	return nil
}

// EnsureContainer creates the container unless one of that id is there, whatever its definition.
func (s *Server) EnsureContainer(db string, spec ContainerSpec) error {
	paths := make([]value.Value, len(spec.PartitionKeyPaths))
	for i, p := range spec.PartitionKeyPaths {
		paths[i] = value.OfString(p)
	}
	kind := "Hash"
	if len(paths) > 1 {
		kind = "MultiHash"
	}
	props := value.OfObject([]value.Member{
		{Name: "id", Value: value.OfString(spec.ID)},
		{Name: "partitionKey", Value: value.OfObject([]value.Member{
			{Name: "paths", Value: value.OfArray(paths)},
			{Name: "kind", Value: value.OfString(kind)},
			{Name: "version", Value: value.OfNumber(2)},
		})},
	})
	if spec.DefaultTTL != nil {
		props = props.With("defaultTtl", value.OfNumber(float64(*spec.DefaultTTL)))
	}
	var offer *offerMeta
	if spec.Throughput > 0 {
		offer = &offerMeta{Throughput: spec.Throughput}
	}
	if _, err := s.createContainer(db, props, offer, spec.Ranges); err != nil && err.Status != 409 {
		return fmt.Errorf("create container %q: %w", spec.ID, err)
	}
	return nil
}

func (s *Server) createDatabase(id value.Value, offer *offerMeta) (*database, *apiError) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.databases[id.Str]; ok {
		return nil, exists()
	}
	next := s.counters
	next.Database++
	now := s.cfg.Clock().Unix()
	d := &database{containers: map[string]*container{}}
	d.databaseMeta = databaseMeta{
		ID: id.Str, RID: ridText(ridDatabase(next.Database)), TS: now,
		Offer: offer,
		ETag:  metaETag(next.Database, 0, now),
	}
	if offer != nil {
		d.rate.Store(int64(offer.limit()))
		offer.ResourceID, offer.RID = d.RID, ridText(binary.BigEndian.AppendUint32([]byte{1},
			next.Database))
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := putJSON(b, databaseKey(id.Str), d.databaseMeta); err != nil {
		return nil, internalError(err)
	}
	if err := s.commitMeta(b, next); err != nil {
		return nil, internalError(err)
	}
	s.counters, s.databases[id.Str] = next, d
	return d, nil
}

func databaseKey(id string) []byte { return append([]byte{prefixDatabase}, id...) }

func metaETag(a, b uint32, ts int64) string {
	return fmt.Sprintf("%08x-0000-0000-%04x-%012x", a, b&0xFFFF, ts)
}

func putJSON(b *pebble.Batch, key []byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Set(key, text, nil)
}

func (s *Server) commitMeta(b *pebble.Batch, next accountCounters) error {
	if err := putJSON(b, []byte{prefixAccount}, next); err != nil {
		return err
	}
	return b.Commit(store.Sync)
}

// deleteDatabase removes the database with all its containers.
func (s *Server) deleteDatabase(id, ifMatch string) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.databases[id]
	if !ok {
		return notFound()
	}
	if !etagMatches(ifMatch, d.ETag) {
		return preconditionFailed()
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.Delete(databaseKey(id), nil); err != nil {
		return internalError(err)
	}
	for _, c := range d.containers {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.erase(b); err != nil {
			return internalError(err)
		}
	}
	if err := b.Commit(store.Sync); err != nil {
		return internalError(err)
	}
	for _, c := range d.containers {
		c.gone = true
		delete(s.containers, c.meta.CID)
	}
	delete(s.databases, id)
	return nil
}

// erase adds the removal of everything of the container to the batch.
func (c *container) erase(b *pebble.Batch) error {
	if err := b.Delete(key32(prefixContainer, c.meta.CID), nil); err != nil {
		return err
	}
	for _, prefix := range []byte{
		prefixCounters, prefixDocument, prefixVersion, prefixFeed,
		prefixExpiry, prefixUnique,
	} {
		from := key32(prefix, c.meta.CID)
		if err := b.DeleteRange(from, upperBound(from), nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) createContainer(db string, props value.Value, offer *offerMeta,
	ranges int,
) (*container, *apiError) {
	id := props.Get("id")
	if err := checkID(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.databases[db]
	if !ok {
		return nil, ownerNotFound()
	}
	if _, ok := d.containers[id.Str]; ok {
		return nil, exists()
	}
	next := s.counters
	next.Container++
	now := s.cfg.Clock().Unix()
	dbRID := ridBytes(d.RID)
	m := containerMeta{
		CID: next.Container, Database: db, ID: id.Str, TS: now, Version: 1,
		Offer:      offer,
		RID:        append(dbRID, ridContainer(0, next.Container)[4:]...),
		ETag:       metaETag(next.Container, 1, now),
		Properties: withDefaults(props).JSON(),
	}
	if offer != nil {
		offer.ResourceID, offer.RID = ridText(m.RID), ridText(binary.BigEndian.AppendUint32([]byte{2},
			m.CID))
	}
	c := &container{srv: s, db: d}
	if err := c.apply(m); err != nil {
		return nil, asAPIError(err)
	}
	m.Ranges = initialRanges(s.rangesFor(c, ranges))
	m.NextRange = uint32(len(m.Ranges))
	return s.install(d, m, next)
}

func (s *Server) install(d *database, m containerMeta, next accountCounters) (*container,
	*apiError,
) {
	c, err := s.openContainer(m)
	if err != nil {
		return nil, internalError(err)
	}
	c.db = d
	b := s.db.NewBatch()
	defer b.Close()
	if err := c.save(b, m); err != nil {
		return nil, internalError(err)
	}
	if err := s.commitMeta(b, next); err != nil {
		return nil, internalError(err)
	}
	s.counters, d.containers[m.ID], s.containers[m.CID] = next, c, c
	return c, nil
}

// rangesFor is how many physical partitions a new container gets. Version 1 keys sort by value as
// well as by hash; their containers start with one.
func (s *Server) rangesFor(c *container, want int) int {
	if want <= 0 {
		want = s.cfg.Ranges
	}
	if c.key.version == 1 {
		return 1
	}
	return min(want, maxInitialRanges)
}

// withDefaults fills in the policies that the service fills in.
func withDefaults(props value.Value) value.Value {
	defaults := []struct{ name, text string }{
		{
			"indexingPolicy",
			`{"indexingMode":"consistent","automatic":true,"includedPaths":[{"path":"/*"}],` +
				`"excludedPaths":[{"path":"/\"_etag\"/?"}]}`,
		},
		{"conflictResolutionPolicy", `{"mode":"LastWriterWins","conflictResolutionPath":"/_ts",` +
			`"conflictResolutionProcedure":""}`},
		{"geospatialConfig", `{"type":"Geography"}`},
	}
	for _, d := range defaults {
		if k := props.Get(d.name).Kind; k != value.Undefined && k != value.Null {
			continue
		}
		if v, err := value.Parse([]byte(d.text)); err == nil {
			props = props.With(d.name, v)
		}
	}
	return props
}

// deleteContainer removes the container with all its documents.
func (s *Server) deleteContainer(c *container, ifMatch string) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return notFound()
	}
	if !etagMatches(ifMatch, c.meta.ETag) {
		return preconditionFailed()
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := c.erase(b); err != nil {
		return internalError(err)
	}
	if err := b.Commit(store.Sync); err != nil {
		return internalError(err)
	}
	c.gone = true
	delete(c.db.containers, c.meta.ID)
	delete(s.containers, c.meta.CID)
	return nil
}

// replaceContainer changes what may change: everything but the id, the partition key and the unique
// keys.
func (s *Server) replaceContainer(c *container, props value.Value, ifMatch string) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return notFound()
	}
	if !etagMatches(ifMatch, c.meta.ETag) {
		return preconditionFailed()
	}
	if props.Get("id").Str != c.meta.ID {
		return badRequest("Replacing the id of a container is not allowed.")
	}
	if err := c.immutable(props); err != nil {
		return err
	}
	m := c.meta
	m.TS = s.cfg.Clock().Unix()
	m.Version++
	m.ETag = metaETag(m.CID, uint32(m.Version), m.TS)
	m.Properties = withDefaults(props).JSON()
	probe := &container{}
	if err := probe.apply(m); err != nil {
		return asAPIError(err)
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := c.save(b, m); err != nil {
		return internalError(err)
	}
	if err := c.reindexExpiry(b, probe.ttl); err != nil {
		return internalError(err)
	}
	if err := b.Commit(store.Sync); err != nil {
		return internalError(err)
	}
	c.meta, c.props, c.ttl = probe.meta, probe.props, probe.ttl
	return nil
}

// immutable refuses a change of the partition key or the unique keys.
func (c *container) immutable(props value.Value) *apiError {
	key, err := parseKeyDefinition(props.Get("partitionKey"))
	if err != nil {
		return err
	}
	if fmt.Sprint(key.Paths) != fmt.Sprint(c.key.Paths) || key.Kind != c.key.Kind {
		return badRequest("Document collection partition key cannot be changed.")
	}
	unique, err := parseUniqueKeys(props.Get("uniqueKeyPolicy"))
	if err != nil {
		return err
	}
	if fmt.Sprint(unique) != fmt.Sprint(c.unique) {
		return badRequest("The unique index cannot be modified. To change the unique index, remove " +
			"the collection and re-create a new one.")
	}
	return nil
}
