package local

import (
	"context"
	"sync/atomic"
)

// notices are S3's notifications on their way to their queues. S3 promises each at least once; here a
// crash, or more than maxNotices on their way, loses some, which is logged.
type notices struct {
	waiting chan notice
	lost    *atomic.Int64
}

type notice struct {
	queue string // ARN
	body  []byte
}

// maxNotices bounds the messages on their way; deliverTogether those of one write to the disk.
const (
	maxNotices      = 20_000
	deliverTogether = 500
)

func newNotices() notices {
	return notices{waiting: make(chan notice, maxNotices), lost: new(atomic.Int64)}
}

// add hands a message over. It never blocks.
func (n notices) add(queue string, body []byte) {
	select {
	case n.waiting <- notice{queue, body}:
	default:
		n.lost.Add(1)
	}
}

// deliver puts messages into their queues, many with one write to the disk.
func (s *services) deliver(ctx context.Context) error {
	for {
		var first notice
		select {
		case <-ctx.Done():
			return nil
		case first = <-s.notices.waiting:
		}
		byQueue, n := map[string][][]byte{first.queue: {first.body}}, 1
		for more := true; more && n < deliverTogether; n++ {
			select {
			case m := <-s.notices.waiting:
				byQueue[m.queue] = append(byQueue[m.queue], m.body)
			default:
				more = false
			}
		}
		for queue, bodies := range byQueue {
			if err := s.sqs.Deliver(queue, bodies); err != nil {
				s.cfg.Logger.Warn("S3 notifications lost", "queue", queue, "count", len(bodies), "error", err)
			}
		}
		if lost := s.notices.lost.Swap(0); lost > 0 {
			s.cfg.Logger.Warn("S3 notifications lost: too many were on their way", "count", lost)
		}
	}
}
