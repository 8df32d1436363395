package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"

	"github.com/proa-cloud/proa"
)

// position is a cursor: where reading goes on in each shard of one stream.
type position struct {
	ARN    string                   `json:"s"`
	Shards map[string]shardPosition `json:"p"`
}

// shardPosition is a place in one shard. The zero one is the shard's oldest record.
type shardPosition struct {
	After string `json:"q,omitempty"` // sequence number of the last record read
	Since int64  `json:"t,omitempty"` // Unix seconds: nothing was read yet, older records are not wanted
	Done  bool   `json:"d,omitempty"` // read to its end
}

var errGap = fmt.Errorf("changes were missed: %w", proa.ErrFeedGap)

func parseCursor(cursor string) (position, error) {
	if cursor == "" {
		return position{Shards: map[string]shardPosition{}}, nil
	}
	var pos position
	if err := json.Unmarshal([]byte(cursor), &pos); err != nil || pos.ARN == "" || pos.Shards == nil {
		return pos, fmt.Errorf("cursor %.80q: %w", cursor, proa.ErrInvalid)
	}
	return pos, nil
}

func (p position) cursor() string {
	text, err := json.Marshal(p)
	if err != nil { // strings, integers and booleans always marshal
		panic(err)
	}
	return string(text)
}

// open reports whether there is a shard left to read.
func (p position) open() bool {
	for _, at := range p.Shards {
		if !at.Done {
			return true
		}
	}
	return false
}

func ended(s streamtypes.Shard) bool {
	return s.SequenceNumberRange != nil && s.SequenceNumberRange.EndingSequenceNumber != nil
}

// admit adds listed shards whose parents are done, drops done ones that are no longer listed, and finds gaps: a shard that vanished
// unread, or one whose parent vanished without ever having been seen.
func (p position) admit(listed []streamtypes.Shard) error {
	byID := make(map[string]bool, len(listed))
	for _, s := range listed {
		byID[*s.ShardId] = true
	}
	first := len(p.Shards) == 0
	for _, s := range listed {
		if _, known := p.Shards[*s.ShardId]; known {
			continue
		}
		parent := sdk.ToString(s.ParentShardId)
		at, known := p.Shards[parent]
		switch {
		case known && at.Done, parent == "":
			p.Shards[*s.ShardId] = shardPosition{}
		case !known && !byID[parent]:
			if !first {
				return fmt.Errorf("%w: shard %s was trimmed", errGap, parent)
			}
			p.Shards[*s.ShardId] = shardPosition{}
		}
	}
	for id, at := range p.Shards {
		switch {
		case byID[id]:
		case at.Done:
			delete(p.Shards, id)
		default:
			return fmt.Errorf("%w: shard %s was trimmed", errGap, id)
		}
	}
	return nil
}

// readShard reads one page into r and returns the iterator to go on with.
func (f *Feed) readShard(ctx context.Context, r *shardRead, it iterator) iterator {
	began := time.Now()
	if it.token != "" && it.at == r.at {
		out, err := f.getRecords(ctx, it.token)
		if err == nil {
			return f.take(r, out, it.filter, began)
		}
		if !iteratorLost(err) {
			r.err = f.failRead(err)
			return it
		}
	}
	kind := streamtypes.ShardIteratorTypeTrimHorizon
	if r.at.After != "" {
		kind = streamtypes.ShardIteratorTypeAfterSequenceNumber
	}
	token, err := f.iteratorToken(ctx, r.id, kind, r.at.After)
	if err != nil {
		r.err = f.failRead(err)
		return iterator{}
	}
	out, err := f.getRecords(ctx, token)
	if err != nil {
		r.err = f.failRead(err)
		return iterator{}
	}
	return f.take(r, out, true, began)
}

func (f *Feed) iteratorToken(
	ctx context.Context, shard string, kind streamtypes.ShardIteratorType, after string,
) (string, error) {
	in := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: &f.arn, ShardId: &shard, ShardIteratorType: kind,
	}
	if after != "" {
		in.SequenceNumber = &after
	}
	out, err := f.streams.GetShardIterator(ctx, in)
	if err != nil {
		return "", err
	}
	return sdk.ToString(out.ShardIterator), nil
}

func (f *Feed) getRecords(ctx context.Context, token string) (*dynamodbstreams.GetRecordsOutput, error) {
	return f.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{
		ShardIterator: &token, Limit: sdk.Int32(readLimit),
	})
}

// iteratorLost reports errors after which the same place is asked for again by sequence number: the iterator expired after 15
// minutes, or the service no longer knows it.
func iteratorLost(err error) bool {
	var expired *streamtypes.ExpiredIteratorException
	var api smithy.APIError
	return errors.As(err, &expired) || errors.As(err, &api) && api.ErrorCode() == "ValidationException"
}

// failRead maps an error of the stream; a stream or a shard that is gone, and a position that was trimmed, are gaps.
func (f *Feed) failRead(err error) error {
	var gone *streamtypes.ResourceNotFoundException
	var trimmed *streamtypes.TrimmedDataAccessException
	if errors.As(err, &gone) || errors.As(err, &trimmed) {
		return &proa.Error{
			Op: "read change feed", Region: proa.AWS, Key: f.schema.Table, Err: fmt.Errorf("%w: %w", errGap, err),
			Hint: "a scan will find what was missed",
		}
	}
	return fail("read change feed", f.schema.Table, err)
}

// take turns records into changes and moves the position past them.
func (f *Feed) take(r *shardRead, out *dynamodbstreams.GetRecordsOutput, filter bool, began time.Time) iterator {
	at := r.at
	for i := range out.Records {
		rec := &out.Records[i]
		if rec.Dynamodb == nil || rec.Dynamodb.SequenceNumber == nil {
			continue
		}
		at.After = *rec.Dynamodb.SequenceNumber
		if filter && r.at.Since != 0 && recordTime(rec).Unix() < r.at.Since {
			continue
		}
		change, err := f.change(rec)
		if err != nil {
			// One record that cannot be read must not hold back the shard: it is told as what it is.
			change = proa.Change{
				Region: proa.AWS, Key: proa.Key{Table: f.schema.Table}, Time: recordTime(rec).UTC(),
				Position: proa.Position(*rec.Dynamodb.SequenceNumber),
				New:      proa.Image{Malformed: fail("read change feed", f.schema.Table, err).Error()},
			}
		}
		r.changes = append(r.changes, change)
	}
	if len(r.changes) > 0 {
		at.Since = 0
	}
	at.Done = out.NextShardIterator == nil
	r.more = len(out.Records) > 0 || at.Done
	r.at = at
	it := iterator{token: sdk.ToString(out.NextShardIterator), at: at, read: time.Now(), filter: filter}
	if !full(out) {
		it.end = began
	}
	return it
}

// full reports whether a page may have left out records that were there: it has as many as the service gives, or half of its 1 MiB.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
func full(out *dynamodbstreams.GetRecordsOutput) bool {
	var size int64
	for i := range out.Records {
		if d := out.Records[i].Dynamodb; d != nil {
			size += sdk.ToInt64(d.SizeBytes)
		}
	}
	return len(out.Records) >= readLimit || size >= 512<<10
}

func recordTime(rec *streamtypes.Record) time.Time {
	return sdk.ToTime(rec.Dynamodb.ApproximateCreationDateTime)
}

func (f *Feed) change(rec *streamtypes.Record) (proa.Change, error) {
	keys, err := fromStream(rec.Dynamodb.Keys)
	if err != nil {
		return proa.Change{}, err
	}
	key, err := f.schema.KeyOf(keys)
	if err != nil {
		return proa.Change{}, err
	}
	before, err := fromStream(rec.Dynamodb.OldImage)
	if err != nil {
		return proa.Change{}, err
	}
	after, err := fromStream(rec.Dynamodb.NewImage)
	if err != nil {
		return proa.Change{}, err
	}
	old := proa.SplitEnvelope(before)
	who := rec.UserIdentity
	return proa.Change{
		Region:   proa.AWS,
		Key:      key,
		Old:      &old,
		New:      proa.SplitEnvelope(after),
		Time:     recordTime(rec).UTC(),
		Position: proa.Position(*rec.Dynamodb.SequenceNumber),
		Expired:  who != nil && sdk.ToString(who.PrincipalId) == "dynamodb.amazonaws.com",
	}, nil
}
