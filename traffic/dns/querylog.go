package dns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
)

// QueryLog writes a line for each query into a file: time, client, transport, name, type and code,
// tab-separated. Names are personal data in many countries; keep it off where it is not needed.
type QueryLog struct {
	// Path is the file, "" for no log.
	Path string
	// MaxBytes is how long it may grow before it becomes Path.1, in the place of the one before. 0
	// is 64 MiB.
	MaxBytes int64
}

const (
	defaultLogBytes = 64 << 20
	// logQueue is how many queries may wait to be written; those past it are counted and not logged.
	logQueue = 4096
)

// logged is one query.
type logged struct {
	at        uint32 // seconds since 1970
	client    netip.Addr
	transport transport
	kind      uint16
	rcode     int16
	size      uint16
	name      [maxName]byte
	nameLen   uint8
}

// queryLog hands queries from the workers to the one who writes.
type queryLog struct {
	cfg   QueryLog
	queue chan logged
	lost  atomic.Uint64
	file  *logFile // between bind and the end of run
}

func newQueryLog(c QueryLog) (*queryLog, error) {
	if c.Path == "" {
		return nil, nil
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultLogBytes
	}
	if c.MaxBytes < 4096 {
		return nil, fmt.Errorf("dns: query log of %d bytes: want 4096 or more: %w", c.MaxBytes,
			proa.ErrInvalidConfig)
	}
	return &queryLog{cfg: c, queue: make(chan logged, logQueue)}, nil
}

// add queues a query that was answered, and never waits.
func (l *queryLog) add(msg []byte, from *client, rcode int, kind uint16, size int) {
	e := logged{
		at: from.now, client: from.addr, transport: from.transport, kind: kind,
		rcode: int16(rcode), size: uint16(min(size, 65535)),
	}
	if len(msg) > headerLen {
		e.nameLen = uint8(wireNameLen(msg[headerLen:])) //nolint:gosec // at most 255
		copy(e.name[:], msg[headerLen:headerLen+int(e.nameLen)])
	}
	select {
	case l.queue <- e:
	default:
		l.lost.Add(1)
	}
}

// bind opens the file, so that one that cannot be opened is refused before anything is answered.
func (l *queryLog) bind() error {
	if l == nil || l.file != nil {
		return nil
	}
	f := &logFile{cfg: l.cfg}
	if err := f.open(); err != nil {
		return err
	}
	l.file = f
	return nil
}

func (l *queryLog) close() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.close()
}

// run writes until ctx ends.
func (l *queryLog) run(ctx context.Context) error {
	if l == nil {
		return nil
	}
	if err := l.bind(); err != nil {
		return err
	}
	f := l.file
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var line []byte
	for {
		var err error
		select {
		case <-ctx.Done():
			return l.close()
		case e := <-l.queue:
			line = e.appendTo(line[:0])
			err = f.write(line)
		case <-tick.C:
			err = f.w.Flush()
		}
		if err != nil { // a full disk must not end the name server: what is lost is counted
			l.lost.Add(1)
			f.w.Reset(f.file)
		}
	}
}

func (e *logged) appendTo(b []byte) []byte {
	b = time.Unix(int64(e.at), 0).UTC().AppendFormat(b, time.RFC3339)
	b = append(b, '\t')
	b = e.client.AppendTo(b)
	b = append(append(b, '\t'), [...]string{"udp", "tcp", "tls", "https"}[e.transport]...)
	b = append(b, '\t')
	if e.nameLen > 0 {
		b = append(b, name(e.name[:e.nameLen]).String()...) // control characters are escaped
	}
	b = append(append(b, '\t'), typeText(e.kind)...)
	b = append(append(b, '\t'), rcodeText(int(e.rcode))...)
	b = strconv.AppendUint(append(b, '\t'), uint64(e.size), 10)
	return append(b, '\n')
}

// logFile is a file that is replaced when it is full.
type logFile struct {
	cfg  QueryLog
	file *os.File
	w    *bufio.Writer
	size int64
}

func (f *logFile) open() error {
	file, err := os.OpenFile(f.cfg.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return &proa.Error{Op: "dns: query log", Err: err, Hint: "name a file in dns.query_log that can be written"}
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("dns: query log: %w", err), file.Close())
	}
	f.file, f.size, f.w = file, info.Size(), bufio.NewWriterSize(file, 32<<10)
	return nil
}

func (f *logFile) write(line []byte) error {
	if f.size+int64(len(line)) > f.cfg.MaxBytes {
		if err := errors.Join(f.close(), os.Rename(f.cfg.Path, f.cfg.Path+".1"), f.open()); err != nil {
			return err
		}
	}
	f.size += int64(len(line))
	_, err := f.w.Write(line)
	return err
}

func (f *logFile) close() error { return errors.Join(f.w.Flush(), f.file.Close()) }
