package dynamodb

import (
	"maps"
	"slices"
	"strings"
)

const maxTags = 50

type tagInput struct {
	ResourceArn *string
	Tags        []tag
	TagKeys     []string
	NextToken   *string
}

func tagMap(tags []tag) (map[string]string, error) {
	if len(tags) > maxTags {
		return nil, invalid("One or more parameter values were invalid: Too many tags: %d, at most %d",
			len(tags), maxTags)
	}
	m := map[string]string{}
	for _, t := range tags {
		if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 {
			return nil, invalid("One or more parameter values were invalid: Invalid tag: %s", t.Key)
		}
		if _, twice := m[t.Key]; twice {
			return nil, invalid("One or more parameter values were invalid: Duplicate tag key: %s", t.Key)
		}
		m[t.Key] = t.Value
	}
	return m, nil
}

// nameOfARN returns the name of the table that an ARN of this account names.
func (s *Server) nameOfARN(arn *string) (string, error) {
	if arn == nil {
		return "", constraint("null", "resourceArn", "Member must not be null")
	}
	name, ok := strings.CutPrefix(*arn, s.tableARN(""))
	if !strings.HasPrefix(*arn, "arn:") || strings.Contains(name, "/") {
		return "", invalid("Invalid TableArn: Invalid ResourceArn provided as input %s", *arn)
	}
	if !ok {
		return "", s.noResource(*arn)
	}
	return name, nil
}

func (s *Server) noResource(arn string) *apiError {
	return notFound("Requested resource not found: ResourcArn: %s not found",
		arn) // the vendor's own spelling
}

func (s *Server) tagResource(in *tagInput) (any, error) {
	if len(in.Tags) == 0 {
		return nil, invalid("Atleast one Tag needs to be provided as Input.") // the vendor's own spelling
	}
	added, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	return s.retag(in, func(tags map[string]string) { maps.Copy(tags, added) })
}

func (s *Server) untagResource(in *tagInput) (any, error) {
	if len(in.TagKeys) == 0 {
		return nil, invalid("Atleast one Tag Key needs to be provided as " +
			"Input.") // the vendor's own spelling
	}
	return s.retag(in, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

func (s *Server) retag(in *tagInput, change func(map[string]string)) (any, error) {
	name, err := s.nameOfARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t, err := s.openAlone(&name)
	if err != nil {
		return nil, s.noResource(*in.ResourceArn)
	}
	defer t.mu.Unlock()
	tags := maps.Clone(t.meta.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	if change(tags); len(tags) > maxTags {
		return nil, serviceError("LimitExceededException", "The number of tags exceeds %d", maxTags)
	}
	return noBody{}, s.alter(t, nil, func(m *tableMeta) { m.Tags = tags }, nil)
}

// noBody is the answer of operations that answer with nothing at all.
type noBody struct{}

func (s *Server) listTags(in *tagInput) (any, error) {
	name, err := s.nameOfARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t, err := s.open(name, s.noResource(*in.ResourceArn))
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	tags := []tag{}
	for _, k := range slices.Sorted(maps.Keys(t.meta.Tags)) {
		tags = append(tags, tag{k, t.meta.Tags[k]})
	}
	return map[string]any{"Tags": tags}, nil
}

func (s *Server) describeLimits(*struct{}) (any, error) {
	return map[string]any{
		"AccountMaxReadCapacityUnits": 80000, "AccountMaxWriteCapacityUnits": 80000,
		"TableMaxReadCapacityUnits": 40000, "TableMaxWriteCapacityUnits": 40000,
	}, nil
}

// describeEndpoints names the very endpoint that was asked, so that a client with endpoint
// discovery stays here.
func describeEndpoints(host string) any {
	return map[string]any{"Endpoints": []any{map[string]any{
		"Address":              host,
		"CachePeriodInMinutes": 1440,
	}}}
}

func (s *Server) describeBackups(in *nameInput) (any, error) {
	name, err := tableName(in.TableName)
	if err != nil {
		return nil, err
	}
	if s.lookup(name) == nil {
		return nil, serviceError("TableNotFoundException", "Table not found: %s", name)
	}
	return map[string]any{"ContinuousBackupsDescription": map[string]any{
		"ContinuousBackupsStatus":        "ENABLED",
		"PointInTimeRecoveryDescription": map[string]any{"PointInTimeRecoveryStatus": "DISABLED"},
	}}, nil
}
