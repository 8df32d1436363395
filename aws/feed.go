package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Feed is a table's DynamoDB stream as a cloud.Feed.
//
// A child shard is read only after its parents have been read to their ends, so changes of one key come in order. Iterators live in
// memory and are renewed from the cursor's sequence numbers when they expire. A shard that ended unread and is no longer
// listed, a trimmed position and a stream that was replaced are feed gaps.
type Feed struct {
	schema  proa.Schema
	config  Config
	db      *dynamodb.Client
	streams *dynamodbstreams.Client

	mu        sync.Mutex // one Read or Now at a time
	arn       string
	listed    []streamtypes.Shard
	listedAt  time.Time
	stale     bool // a shard ended: its children must be looked up
	iterators map[string]iterator
}

var _ cloud.Feed = (*Feed)(nil)

// iterator is where reading of a shard goes on, and the position that it stands for.
type iterator struct {
	token  string
	at     shardPosition
	read   time.Time
	end    time.Time // when the last read began, zero where its page was full
	filter bool      // it began at the shard's oldest record, so records from before at.Since come, too
}

const (
	listEvery    = 10 * time.Second
	readLimit    = 1000 // GetRecords' own maximum
	shardReaders = 8
	// stampSlack is how far a record's stamp may be behind: it is called approximate, and DynamoDB Local rounds it to the minute. Too
	// much brings changes of before Now, too little loses some of after.
	stampSlack = 2 * time.Minute
)

// NewFeed opens the feed of a table whose stream has the view type NEW_AND_OLD_IMAGES.
func NewFeed(ctx context.Context, c Config, schema proa.Schema) (*Feed, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return &Feed{
		schema:    schema,
		config:    c,
		db:        dynamodb.NewFromConfig(cfg),
		streams:   dynamodbstreams.NewFromConfig(cfg),
		iterators: map[string]iterator{},
	}, nil
}

// Now returns a cursor after everything that happened before the call. Until the first change of a shard was read, the cursor knows
// that shard's place only by time: after a restart of this process, changes of the two minutes before the call may come, in order.
func (f *Feed) Now(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.config.timeout())
	defer cancel()
	since := time.Now().Add(-stampSlack).Unix()
	if err := f.open(ctx); err != nil {
		return "", err
	}
	if err := f.list(ctx); err != nil {
		return "", err
	}
	pos := position{ARN: f.arn, Shards: map[string]shardPosition{}}
	for _, s := range f.listed {
		if ended(s) {
			pos.Shards[*s.ShardId] = shardPosition{Done: true}
			continue
		}
		at := shardPosition{Since: since}
		token, err := f.iteratorToken(ctx, *s.ShardId, streamtypes.ShardIteratorTypeLatest, "")
		if err != nil {
			return "", fail("read change feed", f.schema.Table, err)
		}
		f.iterators[*s.ShardId] = iterator{token: token, at: at}
		pos.Shards[*s.ShardId] = at
	}
	return pos.cursor(), nil
}

// open finds the stream that is in force. It is looked up once, and again after Now.
func (f *Feed) open(ctx context.Context) error {
	out, err := f.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &f.schema.Table})
	if err != nil {
		return fail("find change feed", f.schema.Table, err)
	}
	spec := out.Table.StreamSpecification
	if out.Table.LatestStreamArn == nil || spec == nil || spec.StreamViewType != types.StreamViewTypeNewAndOldImages {
		return &proa.Error{
			Op: "find change feed", Region: proa.AWS, Key: f.schema.Table,
			Err:  fmt.Errorf("the table has no stream with old and new images: %w", proa.ErrUnsupported),
			Hint: "enable a stream with the view type NEW_AND_OLD_IMAGES",
		}
	}
	if f.arn != *out.Table.LatestStreamArn {
		clear(f.iterators)
		f.arn, f.listed, f.listedAt = *out.Table.LatestStreamArn, nil, time.Time{}
	}
	return nil
}

// list reads all shards of the stream, page by page.
func (f *Feed) list(ctx context.Context) error {
	var shards []streamtypes.Shard
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &f.arn}
	for {
		out, err := f.streams.DescribeStream(ctx, in)
		if err != nil {
			return f.failRead(err)
		}
		shards = append(shards, out.StreamDescription.Shards...)
		if out.StreamDescription.LastEvaluatedShardId == nil {
			break
		}
		in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId
	}
	f.listed, f.listedAt, f.stale = shards, time.Now(), false
	return nil
}

// Read reads every shard that may be read once. The cursor "" is the oldest change that is retained.
func (f *Feed) Read(ctx context.Context, cursor string) (cloud.Batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.config.timeout())
	defer cancel()
	pos, err := parseCursor(cursor)
	if err != nil {
		return cloud.Batch{}, fail("read change feed", f.schema.Table, err)
	}
	if err := f.refresh(ctx, pos); err != nil {
		return cloud.Batch{}, err
	}
	pos.ARN = f.arn
	if err := pos.admit(f.listed); err != nil {
		f.listedAt = time.Time{}
		return cloud.Batch{}, fail("read change feed", f.schema.Table, err)
	}
	return f.readShards(ctx, pos)
}

// refresh keeps the stream and its shard list current, at a bounded rate.
func (f *Feed) refresh(ctx context.Context, pos position) error {
	if f.arn == "" || (pos.ARN != "" && pos.ARN != f.arn) {
		if err := f.open(ctx); err != nil {
			return err
		}
	}
	if pos.ARN != "" && pos.ARN != f.arn {
		return fail("read change feed", f.schema.Table, fmt.Errorf("%w: the stream was replaced", errGap))
	}
	age, soon := time.Since(f.listedAt), 5*f.config.feedInterval()
	switch {
	case f.listedAt.IsZero() || f.stale:
	case age < soon, age < listEvery && pos.open():
		return nil
	}
	return f.list(ctx)
}

// shardRead is what one read of one shard gave.
type shardRead struct {
	id      string
	at      shardPosition
	changes []proa.Change
	more    bool
	err     error
	next    iterator
}

func (f *Feed) readShards(ctx context.Context, pos position) (cloud.Batch, error) {
	reads := f.due(pos)
	var group errgroup.Group
	group.SetLimit(shardReaders)
	for i := range reads {
		r := &reads[i]
		r.next = f.iterators[r.id]
		group.Go(func() error {
			r.next = f.readShard(ctx, r, r.next)
			return nil
		})
	}
	_ = group.Wait() // each read keeps its own error
	for _, r := range reads {
		f.iterators[r.id] = r.next
	}
	return f.merge(pos, reads)
}

// due picks the shards to read now: those not read to their ends, nor within the last interval.
func (f *Feed) due(pos position) []shardRead {
	var reads []shardRead
	for id, at := range pos.Shards {
		if at.Done || time.Since(f.iterators[id].read) < f.config.feedInterval() && f.iterators[id].at == at {
			continue
		}
		reads = append(reads, shardRead{id: id, at: at})
	}
	slices.SortFunc(reads, func(a, b shardRead) int { return strings.Compare(a.id, b.id) })
	return reads
}

func (f *Feed) merge(pos position, reads []shardRead) (cloud.Batch, error) {
	var batch cloud.Batch
	var failed error
	for _, r := range reads {
		if r.err != nil {
			if errors.Is(r.err, proa.ErrFeedGap) {
				return cloud.Batch{}, r.err
			}
			failed = errors.Join(failed, r.err)
			continue
		}
		if r.at.Done {
			delete(f.iterators, r.id)
			f.stale = true
		}
		batch.Changes = append(batch.Changes, r.changes...)
		batch.More = batch.More || r.more
		pos.Shards[r.id] = r.at
	}
	if failed != nil && len(batch.Changes) == 0 {
		return cloud.Batch{}, failed
	}
	batch.Next = pos.cursor()
	batch.Age = f.age(pos)
	return batch, nil
}

// age is how long ago the shard was read to its end that this is longest ago of. Reads of this call count as now.
func (f *Feed) age(pos position) time.Duration {
	age := time.Nanosecond
	for id, at := range pos.Shards {
		switch it := f.iterators[id]; {
		case at.Done: // its children are listed before the next read, which merge asks for at once
		case it.end.IsZero() || it.at != at:
			return cloud.AgeUnknown
		default:
			age = max(age, time.Since(it.end))
		}
	}
	return age
}
