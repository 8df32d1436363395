package dynamodb

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

// The view types: what of an item a stream's records hold.
const (
	viewKeys = "KEYS_ONLY"
	viewNew  = "NEW_IMAGE"
	viewOld  = "OLD_IMAGE"
	viewBoth = "NEW_AND_OLD_IMAGES"
)

// streamMeta is what is stored of a stream. A stream outlives its table and its disabling by the
// retention.
type streamMeta struct {
	ID         uint64
	Table      string
	Schema     proa.Schema
	Label      string
	View       string
	CreatedMS  int64
	DisabledMS int64 // 0 while enabled
	Slots      int   // open shards while enabled
	NextShard  uint32
	Shards     []shard // by number; parents before children
}

// shard is an ordered part of a stream: the records of the keys of one slot between two sequence
// numbers.
type shard struct {
	Num       uint32
	Slot      int
	Parent    int64 // number, -1 when there is none
	CreatedMS int64
	Start     uint64
	End       uint64 // 0 while open
	ClosedMS  int64
	Trimmed   uint64 // records up to this sequence number are gone
}

// stream is one stream; its description is guarded by Server.commitMu, its id never changes.
type stream struct {
	id   uint64
	meta streamMeta
}

func (m streamMeta) put(batch *pebble.Batch) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return batch.Set(prefixed(prefixStream, m.ID), b, nil)
}

// openShard returns the shard that takes a key's next record. The caller holds commitMu.
func (st *stream) openShard(k proa.Key) shard {
	slot := int(uint64(partition(k.Hash)) * uint64(st.meta.Slots) >> 32)
	for _, sh := range slices.Backward(st.meta.Shards) {
		if sh.Slot == slot && sh.End == 0 {
			return sh
		}
	}
	return st.meta.Shards[len(st.meta.Shards)-1]
}

// newStream describes a stream whose shards open at the next sequence number. The caller holds
// commitMu.
func (s *Server) newStream(t tableMeta, view string) *stream {
	s.last.stream++
	s.last.sequence++
	now := s.cfg.Clock()
	m := streamMeta{
		ID: s.last.stream, Table: t.Name, Schema: t.Schema, View: view, CreatedMS: now.UnixMilli(),
		Label: now.UTC().Format("2006-01-02T15:04:05.000"), Slots: s.cfg.StreamShards,
	}
	for slot := range m.Slots {
		m.addShard(slot, -1, s.last.sequence, m.CreatedMS)
	}
	return &stream{id: m.ID, meta: m}
}

func (m *streamMeta) addShard(slot int, parent int64, start uint64, nowMS int64) {
	m.Shards = append(m.Shards, shard{
		Num: m.NextShard, Slot: slot, Parent: parent, CreatedMS: nowMS,
		Start: start,
	})
	m.NextShard++
}

// disable closes the stream's shards. The caller holds commitMu.
func (s *Server) disable(m streamMeta) streamMeta {
	s.last.sequence++
	m.DisabledMS = s.nowMS()
	m.Shards = slices.Clone(m.Shards)
	for i := range m.Shards {
		if sh := &m.Shards[i]; sh.End == 0 {
			sh.End, sh.ClosedMS = s.last.sequence, m.DisabledMS
		}
	}
	return m
}

func (s *Server) streamARN(m streamMeta) string {
	return s.tableARN(m.Table) + "/stream/" +
		m.Label
}

// shardID is unique within the account, as the vendor's are.
func (m streamMeta) shardID(num int64) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d/%d", m.ID, num)
	return fmt.Sprintf("shardId-%020d-%08x", m.CreatedMS*1000+num, h.Sum32())
}

// sequenceBase makes sequence numbers decimal strings of 21 digits, the vendor's least, that order
// as text.
const sequenceBase = "1"

func sequenceText(n uint64) string { return fmt.Sprintf("%s%020d", sequenceBase, n) }

// record is one stored stream record.
type record struct {
	second   int64
	event    byte // 'I'nsert, 'M'odify, 'R'emove
	expired  bool
	size     int // of keys and images, in the vendor's bytes
	keys     proa.Item
	old, new proa.Item // nil when not in the view or not there
}

// newRecord makes the record of a change that is no no-op.
func newRecord(c change, view string, now time.Time) record {
	r := record{
		second: now.Unix(), event: 'M', expired: c.expired,
		keys: c.table.meta.Schema.Attributes(c.key),
	}
	switch {
	case c.old == nil:
		r.event = 'I'
	case c.new == nil:
		r.event = 'R'
	}
	if view == viewOld || view == viewBoth {
		r.old = c.old
	}
	if view == viewNew || view == viewBoth {
		r.new = c.new
	}
	r.size = itemSize(r.keys) + itemSize(r.old) + itemSize(r.new)
	return r
}

const (
	flagExpired = 1 << iota
	flagOld
	flagNew
)

func (r record) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{codecVersion}, uint64(r.second))
	flags := byte(0)
	if r.expired {
		flags |= flagExpired
	}
	if r.old != nil {
		flags |= flagOld
	}
	if r.new != nil {
		flags |= flagNew
	}
	b = append(b, r.event, flags)
	b = binary.AppendUvarint(b, uint64(r.size))
	b = appendItem(b, r.keys)
	if r.old != nil {
		b = appendItem(b, r.old)
	}
	if r.new != nil {
		b = appendItem(b, r.new)
	}
	return b
}

// recordHead is the part of a record's stored form that trimming reads: version and second.
const recordHead = 9

func recordSecond(b []byte) int64 {
	if len(b) < recordHead {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[1:]))
}

func decodeRecord(b []byte) (record, error) {
	if len(b) < recordHead {
		return record{}, fmt.Errorf("stream record: %d bytes", len(b))
	}
	r := record{second: recordSecond(b)}
	d := &decoder{b: b[recordHead:]}
	r.event = d.byte()
	flags := d.byte()
	r.expired = flags&flagExpired != 0
	r.size = int(d.uvarint())
	r.keys = d.item(0)
	if flags&flagOld != 0 {
		r.old = d.item(0)
	}
	if flags&flagNew != 0 {
		r.new = d.item(0)
	}
	return r, d.err
}

// wireRecord is a record as GetRecords returns it.
type wireRecord struct {
	EventID      string            `json:"eventID"`
	EventName    string            `json:"eventName"`
	EventVersion string            `json:"eventVersion"`
	EventSource  string            `json:"eventSource"`
	AWSRegion    string            `json:"awsRegion"`
	DynamoDB     wireStreamRecord  `json:"dynamodb"`
	UserIdentity map[string]string `json:"userIdentity,omitempty"`
}

type wireStreamRecord struct {
	ApproximateCreationDateTime int64
	Keys                        proa.Item
	NewImage                    proa.Item `json:",omitempty"`
	OldImage                    proa.Item `json:",omitempty"`
	SequenceNumber              string
	SizeBytes                   int
	StreamViewType              string
}

func eventName(event byte) string {
	switch event {
	case 'I':
		return "INSERT"
	case 'M':
		return "MODIFY"
	case 'R':
		return "REMOVE"
	}
	return ""
}

func (s *Server) wire(r record, m streamMeta, seq uint64) wireRecord {
	id := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, m.ID), seq)
	out := wireRecord{
		EventID: hex.EncodeToString(id), EventVersion: "1.1", EventSource: "aws:dynamodb",
		AWSRegion: s.cfg.Region,
		EventName: eventName(r.event),
		DynamoDB: wireStreamRecord{
			ApproximateCreationDateTime: r.second, Keys: r.keys, NewImage: r.new, OldImage: r.old,
			SequenceNumber: sequenceText(seq), SizeBytes: r.size, StreamViewType: m.View,
		},
	}
	if r.expired {
		out.UserIdentity = map[string]string{"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
	}
	return out
}
