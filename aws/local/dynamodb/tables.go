package dynamodb

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

type attributeDefinition struct{ AttributeName, AttributeType string }

type keySchemaElement struct{ AttributeName, KeyType string }

type throughput struct{ ReadCapacityUnits, WriteCapacityUnits *int64 }

type streamSpec struct {
	StreamEnabled  *bool
	StreamViewType string `json:",omitempty"`
}

type tag struct{ Key, Value string }

type createTableInput struct {
	TableName                 *string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keySchemaElement
	BillingMode               string
	ProvisionedThroughput     *throughput
	StreamSpecification       *streamSpec
	Tags                      []tag
	TableClass                string
	DeletionProtectionEnabled bool
	GlobalSecondaryIndexes    []indexSpec
	LocalSecondaryIndexes     []indexSpec
}

const (
	billOnDemand    = "PAY_PER_REQUEST"
	billProvisioned = "PROVISIONED"
)

func (in *createTableInput) check() (tableMeta, error) {
	m := tableMeta{Class: in.TableClass, Protected: in.DeletionProtectionEnabled}
	var err error
	if m.Name, err = tableName(in.TableName); err != nil {
		return m, err
	}
	switch {
	case in.AttributeDefinitions == nil:
		return m, constraint("null", "attributeDefinitions", "Member must not be null")
	case in.KeySchema == nil:
		return m, constraint("null", "keySchema", "Member must not be null")
	}
	err = errors.Join(
		oneOf(in.BillingMode, "billingMode", billProvisioned, billOnDemand),
		oneOf(in.TableClass, "tableClass", "STANDARD", "STANDARD_INFREQUENT_ACCESS"),
		in.StreamSpecification.check(),
	)
	if err != nil {
		return m, err
	}
	m.OnDemand = in.BillingMode == billOnDemand
	kinds, err := definedKinds(in.AttributeDefinitions)
	if err != nil {
		return m, err
	}
	if m.Schema, err = keySchemaOf(m.Name, in.KeySchema, kinds); err != nil {
		return m, err
	}
	if m.Tags, err = tagMap(in.Tags); err != nil {
		return m, err
	}
	if err := in.indexes(&m, kinds); err != nil {
		return m, err
	}
	return m, in.ProvisionedThroughput.apply(&m)
}

func (t *throughput) apply(m *tableMeta) error {
	if m.OnDemand {
		if t != nil {
			return invalid("One or more parameter values were invalid: Neither ReadCapacityUnits nor " +
				"WriteCapacityUnits " +
				"can be specified when BillingMode is PAY_PER_REQUEST")
		}
		m.ReadUnits, m.WriteUnits = 0, 0
		return nil
	}
	if t == nil || t.ReadCapacityUnits == nil || t.WriteCapacityUnits == nil {
		return invalid("One or more parameter values were invalid: ReadCapacityUnits and " +
			"WriteCapacityUnits " +
			"must both be specified when BillingMode is PROVISIONED")
	}
	m.ReadUnits, m.WriteUnits = *t.ReadCapacityUnits, *t.WriteCapacityUnits
	const member = "provisionedThroughput."
	switch {
	case m.ReadUnits < 1:
		return constraint(quote(int(m.ReadUnits)), member+"readCapacityUnits",
			"Member must have value greater than or equal to 1")
	case m.WriteUnits < 1:
		return constraint(quote(int(m.WriteUnits)), member+"writeCapacityUnits",
			"Member must have value greater than or equal to 1")
	}
	return nil
}

func (sp *streamSpec) check() error {
	switch {
	case sp == nil:
		return nil
	case sp.StreamEnabled == nil:
		return constraint("null", "streamSpecification.streamEnabled", "Member must not be null")
	case *sp.StreamEnabled && sp.StreamViewType == "":
		return invalid("One or more parameter values were invalid: " +
			"StreamViewType must be specified when StreamEnabled is true")
	case !*sp.StreamEnabled && sp.StreamViewType != "":
		return invalid("One or more parameter values were invalid: " +
			"StreamViewType cannot be specified when StreamEnabled is false")
	}
	return oneOf(sp.StreamViewType, "streamSpecification.streamViewType", viewNew, viewOld, viewBoth,
		viewKeys)
}

// definedKinds reads attribute definitions.
func definedKinds(defs []attributeDefinition) (map[string]proa.Kind, error) {
	kinds := map[string]proa.Kind{}
	for _, d := range defs {
		k := proa.ParseKind(d.AttributeType)
		if k != proa.KindS && k != proa.KindN && k != proa.KindB {
			return nil, constraint("'"+d.AttributeType+"'", "attributeDefinitions.1.member.attributeType",
				"Member must satisfy enum value set: [B, N, S]")
		}
		if _, twice := kinds[d.AttributeName]; twice {
			return nil, invalid("Cannot have two attributes with the same name")
		}
		kinds[d.AttributeName] = k
	}
	return kinds, nil
}

// keySchemaOf builds the key schema of a table or an index.
func keySchemaOf(
	name string, keys []keySchemaElement, kinds map[string]proa.Kind,
) (proa.Schema, error) {
	s := proa.Schema{Table: name}
	if err := checkLength(len(keys), 2, "keySchema"); err != nil {
		return s, err
	}
	if keys[0].KeyType != "HASH" {
		return s, invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	}
	s.HashName, s.HashKind = keys[0].AttributeName, kinds[keys[0].AttributeName]
	if len(keys) == 2 {
		if keys[1].KeyType != "RANGE" {
			return s, invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
		}
		s.RangeName, s.RangeKind = keys[1].AttributeName, kinds[keys[1].AttributeName]
		if s.HashName == s.RangeName {
			return s, invalid(
				"Both the Hash Key and the Range Key element in the KeySchema have the same name")
		}
	}
	for _, k := range keys {
		if kinds[k.AttributeName] == proa.KindNone {
			return s, invalid("One or more parameter values were invalid: Some index key attributes are "+
				"not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: %v",
				k.AttributeName, slices.Sorted(maps.Keys(kinds)))
		}
	}
	return s, nil
}

func (s *Server) createTable(in *createTableInput) (any, error) {
	m, err := in.check()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[m.Name] != nil {
		return nil, serviceError("ResourceInUseException", "Table already exists: %s", m.Name)
	}
	m.CreatedMS, m.UUID = s.nowMS(), uuid()
	if m.OnDemand {
		m.OnDemandMS = m.CreatedMS
	}
	t := &table{meta: m}
	t.setCapacity(s.cfg.Clock())
	t.mu.Lock()
	defer t.mu.Unlock()
	err = s.alter(t, in.StreamSpecification, func(m *tableMeta) {
		s.last.table++
		m.ID = s.last.table
		for i := range m.Indexes {
			s.last.table++
			m.Indexes[i].ID = s.last.table
		}
	}, nil)
	if err != nil {
		return nil, err
	}
	s.tables[m.Name] = t
	if t.stream != nil {
		s.streams[t.stream.id] = t.stream
	}
	return map[string]any{"TableDescription": s.description(t, "CREATING")}, nil
}

// alter changes and stores a table's description and opens or closes its stream, durably. The
// caller holds the table's lock alone; change and extra run under commitMu.
func (s *Server) alter(
	t *table, spec *streamSpec, change func(*tableMeta), extra func(*pebble.Batch) error,
) error {
	c, err := s.alterLocked(t, spec, change, extra)
	if err != nil {
		return err
	}
	return c.await()
}

func (s *Server) alterLocked(
	t *table, spec *streamSpec, change func(*tableMeta), extra func(*pebble.Batch) error,
) (*commitment, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	m := t.meta
	change(&m)
	batch := s.db.NewBatch()
	st, closed := t.stream, streamMeta{}
	var err error
	if spec != nil && *spec.StreamEnabled {
		st = s.newStream(m, spec.StreamViewType)
		m.Stream, m.StreamLabel = st.id, st.meta.Label
		err = st.meta.put(batch)
	} else if spec != nil && st != nil {
		closed = s.disable(st.meta)
		st, m.Stream = nil, 0
		err = closed.put(batch)
	}
	if err = errors.Join(err, m.put(batch)); err == nil && extra != nil {
		err = extra(batch)
	}
	if err != nil {
		return nil, errors.Join(err, batch.Close())
	}
	c, err := s.apply(batch, nil)
	if err != nil {
		return nil, err
	}
	if closed.ID != 0 {
		t.stream.meta = closed
	}
	t.meta, t.stream = m, st
	return c, nil
}

type nameInput struct{ TableName *string }

// openAlone returns the named table locked alone; the caller unlocks it.
func (s *Server) openAlone(name *string) (*table, error) {
	n, err := tableName(name)
	if err != nil {
		return nil, err
	}
	if t := s.lookup(n); t != nil {
		t.mu.Lock()
		if !t.dropped {
			return t, nil
		}
		t.mu.Unlock()
	}
	return nil, tableMissing(n)
}

func tableMissing(name string) *apiError {
	return notFound("Requested resource not found: Table: %s not found", name)
}

func (s *Server) describeTable(in *nameInput) (any, error) {
	name, err := tableName(in.TableName)
	if err != nil {
		return nil, err
	}
	t, err := s.open(name, tableMissing(name))
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	return map[string]any{"Table": s.description(t, "ACTIVE")}, nil
}

// description renders the table; the caller holds its lock.
func (s *Server) description(t *table, status string) map[string]any {
	m := t.meta
	s.commitMu.Lock()
	size := t.size
	s.commitMu.Unlock()
	d := map[string]any{
		"TableName": m.Name, "TableArn": s.tableARN(m.Name), "TableId": m.UUID, "TableStatus": status,
		"CreationDateTime": seconds(m.CreatedMS), "AttributeDefinitions": m.definitions(),
		"KeySchema": keySchema(m.Schema),
		"ItemCount": size.items, "TableSizeBytes": size.bytes, "DeletionProtectionEnabled": m.Protected,
		"ProvisionedThroughput": map[string]any{
			"NumberOfDecreasesToday": 0, "ReadCapacityUnits": m.ReadUnits,
			"WriteCapacityUnits": m.WriteUnits,
		},
	}
	s.describeIndexes(&m, d)
	if m.OnDemand {
		d["BillingModeSummary"] = map[string]any{
			"BillingMode": billOnDemand, "LastUpdateToPayPerRequestDateTime": seconds(m.OnDemandMS),
		}
	}
	if m.Class != "" {
		d["TableClassSummary"] = map[string]any{"TableClass": m.Class}
	}
	if m.StreamLabel != "" {
		d["LatestStreamLabel"] = m.StreamLabel
		d["LatestStreamArn"] = s.tableARN(m.Name) + "/stream/" + m.StreamLabel
	}
	if t.stream != nil {
		on := true
		d["StreamSpecification"] = streamSpec{&on, s.describe(t.stream).View}
	}
	return d
}

type updateTableInput struct {
	TableName                   *string
	BillingMode                 string
	ProvisionedThroughput       *throughput
	StreamSpecification         *streamSpec
	TableClass                  string
	DeletionProtectionEnabled   *bool
	AttributeDefinitions        []attributeDefinition
	GlobalSecondaryIndexUpdates []indexUpdate
}

func (in *updateTableInput) check() error {
	if in.BillingMode == "" && in.ProvisionedThroughput == nil && in.StreamSpecification == nil &&
		in.TableClass == "" && in.DeletionProtectionEnabled == nil &&
		len(in.GlobalSecondaryIndexUpdates) == 0 {
		return invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, " +
			"GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
	}
	return errors.Join(
		oneOf(in.BillingMode, "billingMode", billProvisioned, billOnDemand),
		oneOf(in.TableClass, "tableClass", "STANDARD", "STANDARD_INFREQUENT_ACCESS"),
		in.StreamSpecification.check(),
	)
}

func (s *Server) updateTable(in *updateTableInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t, err := s.openAlone(in.TableName)
	if err != nil {
		return nil, err
	}
	out, opened, err := s.updateLocked(t, in)
	t.mu.Unlock()
	if opened != nil {
		s.mu.Lock()
		s.streams[opened.id] = opened
		s.mu.Unlock()
	}
	return out, err
}

func (s *Server) updateLocked(t *table, in *updateTableInput) (out any, opened *stream, err error) {
	if sp := in.StreamSpecification; sp != nil {
		switch {
		case *sp.StreamEnabled && t.stream != nil:
			return nil, nil, invalid("Table already has an enabled stream: TableName: %s", t.meta.Name)
		case !*sp.StreamEnabled && t.stream == nil:
			return nil, nil, invalid("Table has no stream to disable: TableName: %s", t.meta.Name)
		}
	}
	m := t.meta
	if in.BillingMode != "" {
		m.OnDemand = in.BillingMode == billOnDemand
	}
	if in.ProvisionedThroughput != nil || in.BillingMode != "" {
		if err := in.ProvisionedThroughput.apply(&m); err != nil {
			return nil, nil, err
		}
	}
	if m.OnDemand && !t.meta.OnDemand {
		m.OnDemandMS = s.nowMS()
	}
	m.Class = orDefault(in.TableClass, m.Class)
	if in.DeletionProtectionEnabled != nil {
		m.Protected = *in.DeletionProtectionEnabled
	}
	extra, err := s.updateIndexes(t, in, &m)
	if err != nil {
		return nil, nil, err
	}
	err = s.alter(t, in.StreamSpecification, func(into *tableMeta) { *into = m }, extra)
	if err != nil {
		return nil, nil, err
	}
	if in.ProvisionedThroughput != nil || in.BillingMode != "" {
		t.setCapacity(s.cfg.Clock())
	}
	if in.StreamSpecification != nil {
		opened = t.stream
	}
	return map[string]any{"TableDescription": s.description(t, "UPDATING")}, opened, nil
}

func (s *Server) deleteTable(in *nameInput) (any, error) {
	t, err := s.openAlone(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	if t.meta.Protected {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. " +
			"Disable deletion protection first.")
	}
	off := false
	var spec *streamSpec
	if t.stream != nil {
		spec = &streamSpec{StreamEnabled: &off}
	}
	description := s.description(t, "DELETING")
	err = s.alter(t, spec, func(*tableMeta) {}, func(b *pebble.Batch) error {
		items, expiries := prefixed(prefixItem, t.meta.ID), prefixed(prefixExpiry, t.meta.ID)
		return errors.Join(
			dropEntries(b, t.meta.Indexes),
			b.DeleteRange(items, prefixEnd(items), nil),
			b.DeleteRange(expiries, prefixEnd(expiries), nil),
			b.Delete(prefixed(prefixCount, t.meta.ID), nil),
			b.Delete(tableKey(t.meta.Name), nil),
		)
	})
	if err != nil {
		return nil, err
	}
	t.dropped = true
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tables, t.meta.Name)
	return map[string]any{"TableDescription": description}, nil
}

type listTablesInput struct {
	ExclusiveStartTableName *string
	Limit                   *int
}

func (s *Server) listTables(in *listTablesInput) (any, error) {
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	switch {
	case limit < 1:
		return nil, constraint(quote(limit), "limit", "Member must have value greater than or equal to 1")
	case limit > 100:
		return nil, constraint(quote(limit), "limit", "Member must have value less than or equal to 100")
	}
	s.mu.RLock()
	names := slices.Sorted(maps.Keys(s.tables))
	s.mu.RUnlock()
	if in.ExclusiveStartTableName != nil {
		at, found := slices.BinarySearch(names, *in.ExclusiveStartTableName)
		if found {
			at++
		}
		names = names[at:]
	}
	out := map[string]any{"TableNames": append([]string{}, names[:min(limit, len(names))]...)}
	if len(names) > limit {
		out["LastEvaluatedTableName"] = names[limit-1]
	}
	return out, nil
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
