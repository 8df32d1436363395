package dynamodb

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	maxRecords      = 1000
	maxRecordsBytes = 1 << 20
	iteratorLife    = 15 * time.Minute
	maxListed       = 100
)

// findStream returns the description of the stream that an ARN names.
func (s *Server) findStream(arn *string) (streamMeta, error) {
	if arn == nil {
		return streamMeta{}, constraint("null", "streamArn", "Member must not be null")
	}
	for _, st := range s.allStreams() {
		if m := s.describe(st); s.streamARN(m) == *arn {
			return m, nil
		}
	}
	return streamMeta{}, notFound("Requested resource not found: Stream: %s not found", *arn)
}

func listLimit(limit *int) (int, error) {
	n := maxListed
	if limit != nil {
		n = *limit
	}
	switch {
	case n < 1:
		return n, constraint(quote(n), "limit", "Member must have value greater than or equal to 1")
	case n > maxListed:
		return n, constraint(quote(n), "limit", "Member must have value less than or equal to 100")
	}
	return n, nil
}

type listStreamsInput struct {
	TableName               *string
	Limit                   *int
	ExclusiveStartStreamArn *string
}

func (s *Server) listStreams(in *listStreamsInput) (any, error) {
	limit, err := listLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	type entry struct{ StreamArn, StreamLabel, TableName string }
	all := []entry{}
	for _, st := range s.allStreams() {
		m := s.describe(st)
		if in.TableName == nil || *in.TableName == m.Table {
			all = append(all, entry{s.streamARN(m), m.Label, m.Table})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.StreamArn, b.StreamArn) })
	if in.ExclusiveStartStreamArn != nil {
		all = slices.DeleteFunc(all,
			func(e entry) bool { return e.StreamArn <= *in.ExclusiveStartStreamArn })
	}
	out := map[string]any{"Streams": all[:min(limit, len(all))]}
	if len(all) > limit {
		out["LastEvaluatedStreamArn"] = all[limit-1].StreamArn
	}
	return out, nil
}

type describeStreamInput struct {
	StreamArn             *string
	Limit                 *int
	ExclusiveStartShardID *string `json:"ExclusiveStartShardId"`
	ShardFilter           *struct {
		Type    string
		ShardID string `json:"ShardId"`
	}
}

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardEntry struct {
	ShardID             string `json:"ShardId"`
	SequenceNumberRange sequenceRange
	ParentShardID       string `json:"ParentShardId,omitempty"`
}

func (s *Server) describeStream(in *describeStreamInput) (any, error) {
	limit, err := listLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	m, err := s.findStream(in.StreamArn)
	if err != nil {
		return nil, err
	}
	shards, err := in.choose(m)
	if err != nil {
		return nil, err
	}
	status := "ENABLED"
	if m.DisabledMS != 0 {
		status = "DISABLED"
	}
	d := map[string]any{
		"StreamArn": s.streamARN(m), "StreamLabel": m.Label, "StreamStatus": status,
		"StreamViewType":          m.View,
		"CreationRequestDateTime": seconds(m.CreatedMS), "TableName": m.Table,
		"KeySchema": keySchema(m.Schema),
		"Shards":    shards[:min(limit, len(shards))],
	}
	if len(shards) > limit {
		d["LastEvaluatedShardId"] = shards[limit-1].ShardID
	}
	return map[string]any{"StreamDescription": d}, nil
}

// choose renders the shards that the filter and the start ask for, parents before children.
func (in *describeStreamInput) choose(m streamMeta) ([]shardEntry, error) {
	parent := ""
	if f := in.ShardFilter; f != nil {
		if err := oneOf(f.Type, "shardFilter.type", "CHILD_SHARDS"); err != nil {
			return nil, err
		}
		if f.Type == "" || f.ShardID == "" {
			return nil, invalid("ShardFilter requires both Type and ShardId")
		}
		parent = f.ShardID
	}
	all := []shardEntry{}
	for _, sh := range m.Shards {
		e := shardEntry{ShardID: m.shardID(int64(sh.Num))}
		e.SequenceNumberRange.StartingSequenceNumber = sequenceText(sh.Start)
		if sh.End != 0 {
			e.SequenceNumberRange.EndingSequenceNumber = sequenceText(sh.End)
		}
		if sh.Parent >= 0 {
			e.ParentShardID = m.shardID(sh.Parent)
		}
		if parent == "" || e.ParentShardID == parent {
			all = append(all, e)
		}
	}
	if in.ExclusiveStartShardID == nil {
		return all, nil
	}
	at := slices.IndexFunc(all,
		func(e shardEntry) bool { return e.ShardID == *in.ExclusiveStartShardID })
	if at < 0 { // trimmed meanwhile, or not in the filter: shard ids of one stream order by age
		at = slices.IndexFunc(all,
			func(e shardEntry) bool { return e.ShardID > *in.ExclusiveStartShardID }) - 1
		if at < -1 {
			return []shardEntry{}, nil
		}
	}
	return all[at+1:], nil
}

// iterator is a place in a shard, as its token carries it.
type iterator struct {
	Stream   uint64 `json:"s"`
	Shard    uint32 `json:"n"`
	Next     uint64 `json:"q"` // sequence number of the next record, or less
	IssuedMS int64  `json:"t"`
}

func (s *Server) token(m streamMeta, it iterator) (string, error) {
	it.IssuedMS = s.nowMS()
	b, err := json.Marshal(it)
	return s.streamARN(m) + "|1|" + base64.StdEncoding.EncodeToString(b), err
}

func parseToken(text *string) (string, iterator, error) {
	var it iterator
	if text == nil {
		return "", it, constraint("null", "shardIterator", "Member must not be null")
	}
	arn, body, ok := strings.Cut(*text, "|1|")
	b, err := base64.StdEncoding.DecodeString(body)
	if !ok || err != nil || json.Unmarshal(b, &it) != nil {
		return "", it, invalid("Invalid ShardIterator")
	}
	return arn, it, nil
}

// streamOf returns the description of the stream that an iterator was made for.
func (s *Server) streamOf(it iterator, arn string) (streamMeta, error) {
	s.mu.RLock()
	st := s.streams[it.Stream]
	s.mu.RUnlock()
	if st != nil {
		if m := s.describe(st); s.streamARN(m) == arn {
			return m, nil
		}
	}
	return streamMeta{}, notFound("Requested resource not found: Stream: %s not found", arn)
}

type shardIteratorInput struct {
	StreamArn         *string
	ShardID           *string `json:"ShardId"`
	ShardIteratorType *string
	SequenceNumber    *string
}

func (m streamMeta) findShard(id string) (shard, bool) {
	for _, sh := range m.Shards {
		if m.shardID(int64(sh.Num)) == id {
			return sh, true
		}
	}
	return shard{}, false
}

func (s *Server) getShardIterator(in *shardIteratorInput) (any, error) {
	switch {
	case in.ShardID == nil:
		return nil, constraint("null", "shardId", "Member must not be null")
	case in.ShardIteratorType == nil:
		return nil, constraint("null", "shardIteratorType", "Member must not be null")
	}
	m, err := s.findStream(in.StreamArn)
	if err != nil {
		return nil, err
	}
	sh, ok := m.findShard(*in.ShardID)
	if !ok {
		return nil, notFound("Requested resource not found: Shard: %s in Stream: %s not found",
			*in.ShardID, *in.StreamArn)
	}
	next, err := s.place(sh, *in.ShardIteratorType, in.SequenceNumber)
	if err != nil {
		return nil, err
	}
	token, err := s.token(m, iterator{Stream: m.ID, Shard: sh.Num, Next: next})
	return map[string]any{"ShardIterator": token}, err
}

// place returns the sequence number at which an iterator of the given type starts.
func (s *Server) place(sh shard, kind string, sequence *string) (uint64, error) {
	first := max(sh.Start, sh.Trimmed+1)
	switch kind {
	case "TRIM_HORIZON", "LATEST":
		if sequence != nil {
			return 0, invalid("SequenceNumber must not be specified for ShardIteratorType %s", kind)
		}
		if kind == "TRIM_HORIZON" {
			return first, nil
		}
		s.commitMu.Lock()
		defer s.commitMu.Unlock()
		return max(first, s.last.sequence+1), nil
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		return placeAt(sh, kind == "AFTER_SEQUENCE_NUMBER", sequence)
	}
	return 0, oneOf(orDefault(kind, " "), "shardIteratorType",
		"AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
}

func placeAt(sh shard, after bool, sequence *string) (uint64, error) {
	if sequence == nil {
		return 0, invalid("SequenceNumber must be specified for ShardIteratorType AT_SEQUENCE_NUMBER " +
			"or AFTER_SEQUENCE_NUMBER")
	}
	text, ok := strings.CutPrefix(*sequence, sequenceBase)
	n, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil || len(text) != 20 || n < sh.Start || sh.End != 0 && n > sh.End {
		return 0, invalid("Invalid SequenceNumber: %s is not in the shard", *sequence)
	}
	if after {
		n++
	}
	if n <= sh.Trimmed {
		return 0, trimmed()
	}
	return n, nil
}

func trimmed() *apiError {
	return serviceError("TrimmedDataAccessException",
		"The operation attempted to read past the oldest stream record in a shard.")
}

type getRecordsInput struct {
	ShardIterator *string
	Limit         *int
}

func (s *Server) getRecords(in *getRecordsInput) (any, error) {
	arn, it, err := parseToken(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	limit := maxRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	switch {
	case limit < 1:
		return nil, constraint(quote(limit), "limit", "Member must have value greater than or equal to 1")
	case limit > maxRecords:
		return nil, constraint(quote(limit), "limit", "Member must have value less than or equal to 1000")
	case s.nowMS()-it.IssuedMS > iteratorLife.Milliseconds():
		return nil, serviceError("ExpiredIteratorException", "Iterator expired. The iterator was "+
			"created at time %s, "+
			"while right now it is %s, which is further in the future than the tolerated delay of %d "+
			"milliseconds.",
			time.UnixMilli(it.IssuedMS).UTC().Format(time.RFC3339), s.cfg.Clock().UTC().Format(time.RFC3339),
			iteratorLife.Milliseconds())
	}
	m, err := s.streamOf(it, arn)
	if err != nil {
		return nil, err
	}
	sh, ok := m.findShard(m.shardID(int64(it.Shard)))
	if !ok {
		return nil, notFound("Requested resource not found: Shard does not exist")
	}
	if it.Next <= sh.Trimmed {
		return nil, trimmed()
	}
	return s.readRecords(m, sh, it, limit)
}

// readRecords reads on in a shard. A shard that was closed before the snapshot and is read to its
// end has no next iterator.
func (s *Server) readRecords(m streamMeta, sh shard, it iterator, limit int) (any, error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: recordKey(m.ID, sh.Num, it.Next), UpperBound: recordKey(m.ID, sh.Num+1, 0),
	})
	if err != nil {
		return nil, err
	}
	upTo := s.ticket.Load()
	records, bytes, more := []wireRecord{}, 0, false
	for ok := iter.First(); ok; ok = iter.Next() {
		r, e := decodeRecord(iter.Value())
		if e != nil {
			err = e
			break
		}
		if bytes += r.size; len(records) == limit || len(records) > 0 && bytes > maxRecordsBytes {
			more = true
			break
		}
		seq := binary.BigEndian.Uint64(iter.Key()[len(iter.Key())-8:])
		records = append(records, s.wire(r, m, seq))
		it.Next = seq + 1
	}
	if err = errors.Join(err, iter.Error(), iter.Close(), s.durable.wait(upTo)); err != nil {
		return nil, err
	}
	out := map[string]any{"Records": records}
	if sh.End != 0 && !more {
		return out, nil
	}
	out["NextShardIterator"], err = s.token(m, it)
	return out, err
}
