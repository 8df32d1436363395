package dynamodb

import (
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

const (
	maxGlobalIndexes = 20
	maxLocalIndexes  = 5
)

type projectionSpec struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

type indexSpec struct {
	IndexName             *string
	KeySchema             []keySchemaElement
	Projection            *projectionSpec
	ProvisionedThroughput *throughput
}

type indexUpdate struct {
	Create *indexSpec
	Update *struct {
		IndexName             *string
		ProvisionedThroughput *throughput
	}
	Delete *struct{ IndexName *string }
}

// meta checks an index against the attributes' types.
func (sp *indexSpec) meta(
	m *tableMeta, kinds map[string]proa.Kind, global bool,
) (indexMeta, error) {
	ix := indexMeta{Global: global}
	switch {
	case sp.IndexName == nil:
		return ix, constraint("null", "indexName", "Member must not be null")
	case !validTableName(*sp.IndexName):
		return ix, invalid("Invalid table/index name.  Table/index names must be between 3 and 255 " +
			"characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	case m.index(*sp.IndexName) != nil:
		return ix, invalid("One or more parameter values were invalid: Duplicate index name: %s",
			*sp.IndexName)
	case sp.Projection == nil || sp.Projection.ProjectionType == "":
		return ix, invalid("One or more parameter values were invalid: Unknown ProjectionType: null")
	}
	err := oneOf(sp.Projection.ProjectionType, "projection.projectionType", projectAll, projectInclude,
		projectKeys)
	if err != nil {
		return ix, err
	}
	if (sp.Projection.ProjectionType == projectInclude) != (len(sp.Projection.NonKeyAttributes) > 0) {
		return ix, invalid("One or more parameter values were invalid: ProjectionType is %s, "+
			"but NonKeyAttributes is %s", sp.Projection.ProjectionType,
			map[bool]string{true: "specified", false: "not " +
				"specified"}[len(sp.Projection.NonKeyAttributes) > 0])
	}
	ix.Name, ix.Projection, ix.Include = *sp.IndexName, sp.Projection.ProjectionType,
		sp.Projection.NonKeyAttributes
	if ix.Schema, err = keySchemaOf(m.Name, sp.KeySchema, kinds); err != nil {
		return ix, err
	}
	if !global && (ix.Schema.HashName != m.Schema.HashName || m.Schema.RangeName == "" ||
		ix.Schema.RangeName == "") {
		return ix, invalid("One or more parameter values were invalid: Table KeySchema does not have a " +
			"range key, " +
			"or the index KeySchema does not share its hash key and have a range key of its own")
	}
	if global && !m.OnDemand {
		units := *m
		if err := sp.ProvisionedThroughput.apply(&units); err != nil {
			return ix, err
		}
		ix.ReadUnits, ix.WriteUnits = units.ReadUnits, units.WriteUnits
	}
	return ix, nil
}

// indexes checks the indexes of a table that is being created.
func (in *createTableInput) indexes(m *tableMeta, kinds map[string]proa.Kind) error {
	switch {
	case len(in.GlobalSecondaryIndexes) > maxGlobalIndexes:
		return serviceError("LimitExceededException", "GlobalSecondaryIndex count exceeds the "+
			"per-table limit of 20")
	case len(in.LocalSecondaryIndexes) > maxLocalIndexes:
		return invalid("One or more parameter values were invalid: " +
			"Number of LocalSecondaryIndexes exceeds per-table limit of 5")
	}
	for _, global := range []bool{true, false} {
		list := in.LocalSecondaryIndexes
		if global {
			list = in.GlobalSecondaryIndexes
		}
		for i := range list {
			ix, err := list[i].meta(m, kinds, global)
			if err != nil {
				return err
			}
			m.Indexes = append(m.Indexes, ix)
		}
	}
	return checkDefinitions(m, kinds)
}

// checkDefinitions refuses attribute definitions that no key uses.
func checkDefinitions(m *tableMeta, kinds map[string]proa.Kind) error {
	used := map[string]bool{m.Schema.HashName: true, m.Schema.RangeName: true}
	for _, ix := range m.Indexes {
		used[ix.Schema.HashName], used[ix.Schema.RangeName] = true, true
	}
	for name := range kinds {
		if !used[name] {
			return invalid("One or more parameter values were invalid: Number of attributes in KeySchema " +
				"does not " +
				"exactly match number of attributes defined in AttributeDefinitions")
		}
	}
	return nil
}

// definitions are the attributes that keys use, with their types.
func (m *tableMeta) definitions() []attributeDefinition {
	kinds := map[string]proa.Kind{
		m.Schema.HashName:  m.Schema.HashKind,
		m.Schema.RangeName: m.Schema.RangeKind,
	}
	for _, ix := range m.Indexes {
		kinds[ix.Schema.HashName], kinds[ix.Schema.RangeName] = ix.Schema.HashKind, ix.Schema.RangeKind
	}
	delete(kinds, "")
	defs := []attributeDefinition{}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		defs = append(defs, attributeDefinition{name, kinds[name].String()})
	}
	return defs
}

// describeIndexes adds the table's indexes to its description.
func (s *Server) describeIndexes(m *tableMeta, into map[string]any) {
	lists := map[string][]any{}
	for _, ix := range m.Indexes {
		d := map[string]any{
			"IndexName": ix.Name, "IndexArn": s.tableARN(m.Name) + "/index/" + ix.Name,
			"KeySchema":  keySchema(ix.Schema),
			"Projection": projectionSpec{ix.Projection, ix.Include},
		}
		list := "LocalSecondaryIndexes"
		if ix.Global {
			list = "GlobalSecondaryIndexes"
			d["IndexStatus"] = "ACTIVE"
			d["ProvisionedThroughput"] = map[string]any{
				"NumberOfDecreasesToday": 0, "ReadCapacityUnits": ix.ReadUnits,
				"WriteCapacityUnits": ix.WriteUnits,
			}
		}
		lists[list] = append(lists[list], d)
	}
	for name, list := range lists {
		into[name] = list
	}
}

func keySchema(s proa.Schema) []keySchemaElement {
	keys := []keySchemaElement{{s.HashName, "HASH"}}
	if s.RangeName != "" {
		keys = append(keys, keySchemaElement{s.RangeName, "RANGE"})
	}
	return keys
}

// updateIndexes plans what an UpdateTable asks of indexes: the description changes at once, the
// entries with extra.
func (s *Server) updateIndexes(t *table, in *updateTableInput, m *tableMeta) (
	extra func(*pebble.Batch) error, err error,
) {
	if len(in.GlobalSecondaryIndexUpdates) == 0 {
		return nil, nil
	}
	if len(in.GlobalSecondaryIndexUpdates) > 1 {
		return nil, serviceError("LimitExceededException", "Subscriber limit exceeded: "+
			"Only 1 online index can be created or deleted simultaneously per table")
	}
	m.Indexes = slices.Clone(m.Indexes)
	switch u := in.GlobalSecondaryIndexUpdates[0]; {
	case u.Create != nil:
		kinds, err := definedKinds(in.AttributeDefinitions)
		if err != nil {
			return nil, err
		}
		ix, err := u.Create.meta(m, kinds, true)
		if err != nil {
			return nil, err
		}
		s.commitMu.Lock()
		s.last.table++
		ix.ID = s.last.table
		s.commitMu.Unlock()
		m.Indexes = append(m.Indexes, ix)
		return func(b *pebble.Batch) error { return s.backfill(b, t, &ix) }, nil
	case u.Delete != nil && u.Delete.IndexName != nil:
		ix := m.index(*u.Delete.IndexName)
		if ix == nil || !ix.Global {
			return nil, notFound("Requested resource not found")
		}
		gone := *ix
		m.Indexes = slices.DeleteFunc(m.Indexes, func(i indexMeta) bool { return i.ID == gone.ID })
		return func(b *pebble.Batch) error { return dropEntries(b, []indexMeta{gone}) }, nil
	case u.Update != nil && u.Update.IndexName != nil:
		ix := m.index(*u.Update.IndexName)
		if ix == nil || !ix.Global {
			return nil, notFound("Requested resource not found")
		}
		units := *m
		if err := u.Update.ProvisionedThroughput.apply(&units); err != nil {
			return nil, err
		}
		ix.ReadUnits, ix.WriteUnits = units.ReadUnits, units.WriteUnits
		return nil, nil
	}
	return nil, invalid("One or more parameter values were invalid: " +
		"GlobalSecondaryIndexUpdate must hold Create, Update or Delete with an IndexName")
}
