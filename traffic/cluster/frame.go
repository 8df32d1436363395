package cluster

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// protocol is the ALPN name of the stream that nodes speak to each other: frames in one direction,
// each a length of four bytes, a kind and a body.
const protocol = "proa-nodes/1"

// Kinds of frames.
const (
	frameBeat    = 'b' // JSON Beat
	frameRaft    = 'r' // cluster, generation, raftpb.Message
	frameRecheck = 'c' // a region's name
)

// Bounds of what a peer can send: it may be of another version, broken, or not what it says it is.
const (
	// A snapshot holds the record, whose history and audit are bounded
	maxFrame = 4 << 20
	maxBeat  = 64 << 10
	// What waits for the log, in bytes; raft sends again what is dropped
	maxQueued = 4 * maxFrame
	// Entries of one message: decoded, an empty one is a hundred times what it was
	maxEntries = 4096
	// An election a microsecond for nine years; a term once taken stays, and the last one ends the log
	maxTerm = 1 << 48
)

// Beat is what each node tells all others five times a second, and at once when it changes.
type Beat struct {
	Node string `json:"node"`
	// ID is the node's identity in the log; Cluster and Generation are those of its record; Formed
	// says that it is or was a member.
	ID         uint64 `json:"id"`
	Cluster    uint64 `json:"cluster"`
	Generation uint64 `json:"generation"`
	Formed     bool   `json:"formed"`
	// Seq is the agreed state that the node has.
	Seq uint64 `json:"seq"`
	// At is the sender's monotonic time. A beat that a healed link delivers late is told by it.
	At time.Duration `json:"at"`
	// Echo holds, for each node, the At of the last beat heard of it that had all that the sender knows
	// to be agreed: who leads tells an owner so that its lease goes on.
	Echo map[string]time.Duration `json:"echo,omitempty"`
	// Hears are the nodes that were heard lately; null from one that does not say so.
	Hears []string `json:"hears"`
	// Nodes are those of the sender's configuration, sorted.
	Nodes []string `json:"nodes,omitempty"`
	News
}

// News is a node's part of a beat.
type News struct {
	// Verdicts are this vantage's own.
	Verdicts []proa.Verdict `json:"verdicts,omitempty"`
	// RoundTrips are this vantage's medians to each region.
	RoundTrips map[proa.Region]time.Duration `json:"round_trips,omitempty"`
	// Replication and Epoch are of the node that owns data sync, which all others count on; Epoch is
	// 0 on a node that does not own it.
	Replication []traffic.Replication `json:"replication,omitempty"`
	Epoch       uint64                `json:"epoch,omitempty"`
	// Measured holds, for each other node, the At of the last beat heard of it before Replication was measured: with the lag, it
	// tells that node on its own clock how far replication has come. Null from a node that does not say so.
	Measured map[string]time.Duration `json:"measured,omitempty"`
	// Progress says until when each region's writes have been captured, by the owner's knowledge.
	Progress map[proa.Region]time.Time `json:"progress,omitempty"`
	// Unfit says why the node cannot own data sync, "" when it can.
	Unfit string `json:"unfit,omitempty"`
}

// raftEntries is the number of raftpb.Message's field of entries.
const raftEntries = 7

// writeFrame sends one frame.
func writeFrame(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("frame of %d bytes: %w", len(body), proa.ErrTooLarge)
	}
	frame := make([]byte, 0, 5+len(body))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
	frame = append(append(frame, kind), body...)
	_, err := w.Write(frame)
	return err
}

// readFrame reads one frame and never more than maxFrame bytes of it.
func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes: %w", size, proa.ErrTooLarge)
	}
	// Memory follows what has come, not what is announced.
	body, err = io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && len(body) < int(size) {
		err = io.ErrUnexpectedEOF
	}
	return head[4], body, err
}

// crowded reports whether a raft message holds more entries than any of ours, or is none.
func crowded(message []byte) bool {
	entries := 0
	for len(message) > 0 {
		number, _, n := protowire.ConsumeField(message)
		if n < 0 {
			return true
		}
		if number == raftEntries {
			entries++
		}
		message = message[n:]
	}
	return entries > maxEntries
}

// raftFrame is a message with the cluster that it belongs to.
func raftFrame(cluster, generation uint64, message []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, cluster)
	b = binary.BigEndian.AppendUint64(b, generation)
	return append(b, message...)
}

func splitRaftFrame(b []byte) (cluster, generation uint64, message []byte, err error) {
	if len(b) < 16 {
		return 0, 0, nil, fmt.Errorf("raft frame of %d bytes: %w", len(b), proa.ErrInvalid)
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16:], nil
}
