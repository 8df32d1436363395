package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Feed is a container's change feed as a cloud.Feed, over all its feed ranges.
//
// It reads all versions and deletes. Where the account cannot (it needs continuous backup), Now falls back to the latest-version feed, and
// Warning says what that one does not show. The mode is part of the cursor and never changes under it.
type Feed struct {
	schema    proa.Schema
	config    Config
	container *containerClient
}

var _ cloud.Feed = (*Feed)(nil)

const feedPage = 500

// NewFeed opens the change feed of a container. It needs what NewTable needs, and makes no call.
func NewFeed(c Config, schema proa.Schema) (*Feed, error) {
	container, err := c.container(schema.Table, feedPolicy{})
	if err != nil {
		return nil, err
	}
	return &Feed{schema: schema, config: c, container: container}, nil
}

// feedCursor is the mode and azcosmos's composite continuation token.
type feedCursor struct {
	Mode feedMode        `json:"m"`
	At   json.RawMessage `json:"c"`
}

func (c feedCursor) String() string {
	text, err := json.Marshal(c)
	if err != nil { // At is JSON that azcosmos made
		panic(err)
	}
	return string(text)
}

// composite is what this driver reads of a continuation token: whether every range has a place.
type composite struct {
	Continuation []struct {
		ContinuationToken string `json:"continuationToken"`
	} `json:"continuation"`
}

// Warning says what a cursor's feed cannot show; "" for one that shows everything.
func (f *Feed) Warning(cursor string) string {
	c, err := parseFeedCursor(cursor)
	if err != nil || c.Mode == allVersions {
		return ""
	}
	return "the account gives only the latest-version change feed: deletes by other writers and intermediate versions are " +
		"not seen; enable continuous backup for the all-versions-and-deletes feed"
}

func parseFeedCursor(cursor string) (feedCursor, error) {
	var c feedCursor
	err := json.Unmarshal([]byte(cursor), &c)
	if err != nil || c.Mode != allVersions && c.Mode != latestVersion || len(c.At) == 0 {
		return c, fmt.Errorf("cursor %.80q: %w", cursor, proa.ErrInvalid)
	}
	return c, nil
}

// Now returns a cursor after everything that happened before the call.
func (f *Feed) Now(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.timeout())
	defer cancel()
	cursor, err := f.start(ctx, allVersions)
	if status := statusOf(err); status == http.StatusBadRequest || status == http.StatusNotImplemented {
		cause := err
		if cursor, err = f.start(ctx, latestVersion); err == nil {
			f.config.logger().Warn("change feed without deletes", "table", f.schema.Table, "cause", short(cause),
				"consequence", f.Warning(cursor.String()))
		}
	}
	if err != nil {
		return "", fail("open change feed", f.schema.Table, err)
	}
	return cursor.String(), nil
}

func (f *Feed) start(ctx context.Context, mode feedMode) (feedCursor, error) {
	whole := &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	out, err := f.page(ctx, mode, &azcosmos.ChangeFeedOptions{FeedRange: whole, MaxItemCount: feedPage})
	if err != nil {
		return feedCursor{}, err
	}
	if len(out.Items) > 0 || !placed(out.ContinuationToken) {
		return feedCursor{}, fmt.Errorf("the service did not start the feed at now: %w", proa.ErrUnsupported)
	}
	return feedCursor{Mode: mode, At: json.RawMessage(out.ContinuationToken)}, nil
}

func (f *Feed) page(
	ctx context.Context, mode feedMode, o *azcosmos.ChangeFeedOptions,
) (azcosmos.ChangeFeedResponse, error) {
	return call(f.container, func(c *azcosmos.ContainerClient) (azcosmos.ChangeFeedResponse, error) {
		return c.ReadChangeFeed(withFeedMode(ctx, mode), o)
	})
}

// placed reports whether every range of a continuation token has a place; one without would start at a later now.
func placed(token string) bool {
	var c composite
	if json.Unmarshal([]byte(token), &c) != nil || len(c.Continuation) == 0 {
		return false
	}
	for _, r := range c.Continuation {
		if r.ContinuationToken == "" {
			return false
		}
	}
	return true
}

// Read returns the next page of one feed range that has changes.
func (f *Feed) Read(ctx context.Context, cursor string) (cloud.Batch, error) {
	const op = "read change feed"
	c, err := parseFeedCursor(cursor)
	if err != nil {
		return cloud.Batch{}, fail(op, f.schema.Table, err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.config.timeout())
	defer cancel()
	at := string(c.At)
	out, err := f.page(ctx, c.Mode, &azcosmos.ChangeFeedOptions{Continuation: &at, MaxItemCount: feedPage})
	if err != nil {
		return cloud.Batch{}, f.failRead(op, err)
	}
	batch := cloud.Batch{Next: cursor, More: len(out.Items) > 0}
	if out.ContinuationToken != "" {
		batch.Next = feedCursor{Mode: c.Mode, At: json.RawMessage(out.ContinuationToken)}.String()
	}
	for _, text := range out.Items {
		change, err := f.change(text)
		if err != nil {
			change = f.unreadable(text, err)
		}
		batch.Changes = append(batch.Changes, change)
	}
	return batch, nil
}

// failRead maps errors of a read. A continuation is all that the client sends, so a refused request means that its place is no longer
// retained, unless a partition is being split or moved; a token of another container means that this one was made anew.
func (f *Feed) failRead(op string, err error) error {
	var r *azcore.ResponseError
	moving := errors.As(err, &r) && isMoving(r)
	replaced := strings.Contains(err.Error(), "does not match the current container") ||
		errors.Is(err, azcosmos.ErrFeedRangeUnresolved)
	if status := statusOf(err); replaced || status == http.StatusBadRequest || status == http.StatusGone && !moving {
		return &proa.Error{
			Op: op, Region: proa.Azure, Key: f.schema.Table,
			Err:  fmt.Errorf("%w: %w", proa.ErrFeedGap, short(err)),
			Hint: "a scan will find what was missed",
		}
	}
	return fail(op, f.schema.Table, err)
}
