package console

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"time"
)

// ring is a file of slots, one for each step of time, the oldest overwritten by the newest. Its head names the columns; a new
// column has it written anew beside itself, so that no crash can leave half of one.
type ring struct {
	name    string
	step    time.Duration
	slots   int64
	file    *os.File
	names   []string
	columns map[string]int // of names
	first   int64          // where the slots begin
	// what has come in since the slot began
	slot  int64
	sum   []float64
	count []int
}

const (
	ringMagic   = "proa-history-2\n\x00"
	ringHead    = 24 // magic, length and CRC of the names, which follow as JSON
	slotHead    = 12 // seconds since 1970, CRC
	maxRingHead = 256 << 10
)

// open opens the file, or makes an empty one in the place of what is none.
func (r *ring) open(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	names, first, err := readNames(f)
	if err == nil {
		r.use(f, names, first)
		return nil
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	return r.rewrite(path, nil)
}

// readNames reads a ring's head.
func readNames(f io.ReaderAt) (names []string, first int64, err error) {
	head := make([]byte, ringHead)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, 0, err
	}
	length := binary.BigEndian.Uint32(head[16:])
	if string(head[:16]) != ringMagic || length > maxRingHead {
		return nil, 0, errors.New("not a ring")
	}
	text := make([]byte, length)
	if _, err := f.ReadAt(text, ringHead); err != nil {
		return nil, 0, err
	}
	if crc32.ChecksumIEEE(text) != binary.BigEndian.Uint32(head[20:]) {
		return nil, 0, errors.New("a damaged ring")
	}
	return names, ringHead + int64(length), json.Unmarshal(text, &names)
}

func (r *ring) use(f *os.File, names []string, first int64) {
	r.file, r.names, r.first, r.columns = f, names, first, map[string]int{}
	for i, name := range names {
		r.columns[name] = i
	}
}

func (r *ring) width() int64 { return widthOf(len(r.names)) }

func widthOf(columns int) int64 { return slotHead + 4*int64(columns) }

// add takes a sample into the slot of now.
func (r *ring) add(now time.Time, sample map[string]float64) error {
	var errs []error
	slot := now.Unix() / int64(r.step.Seconds())
	if slot != r.slot && r.slot != 0 {
		errs = append(errs, r.flush())
	}
	for name := range sample {
		if _, ok := r.columns[name]; !ok {
			if err := r.widen(sample); err != nil {
				return errors.Join(append(errs, err)...)
			}
			break
		}
	}
	if len(r.sum) != len(r.names) {
		r.sum, r.count = make([]float64, len(r.names)), make([]int, len(r.names))
	}
	r.slot = slot
	for name, v := range sample {
		if i, ok := r.columns[name]; ok && !math.IsNaN(v) {
			r.sum[i] += v
			r.count[i]++
		}
	}
	return errors.Join(errs...)
}

// flush writes the slot that has ended.
func (r *ring) flush() error {
	record := make([]byte, r.width())
	binary.BigEndian.PutUint64(record, uint64(r.slot*int64(r.step.Seconds())))
	for i := range r.sum {
		v := math.NaN()
		if r.count[i] > 0 {
			v = r.sum[i] / float64(r.count[i])
		}
		binary.BigEndian.PutUint32(record[slotHead+4*i:], math.Float32bits(float32(v)))
		r.sum[i], r.count[i] = 0, 0
	}
	binary.BigEndian.PutUint32(record[8:], sumOf(record))
	if _, err := r.file.WriteAt(record, r.first+(r.slot%r.slots)*r.width()); err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	return nil
}

func sumOf(record []byte) uint32 {
	sum := crc32.ChecksumIEEE(record[:8])
	return crc32.Update(sum, crc32.IEEETable, record[slotHead:])
}

// widen adds the columns that a sample has more. Where they come to too many, those that it lacks go.
func (r *ring) widen(sample map[string]float64) error {
	names := slices.Clone(r.names)
	for _, name := range slices.Sorted(maps.Keys(sample)) {
		if _, ok := r.columns[name]; !ok {
			names = append(names, name)
		}
	}
	if len(names) > maxColumns {
		names = slices.DeleteFunc(names, func(name string) bool { _, ok := sample[name]; return !ok })
	}
	if len(names) > maxColumns {
		return fmt.Errorf("console history: %d series are more than %d", len(names), maxColumns)
	}
	sum, count := make([]float64, len(names)), make([]int, len(names))
	for i, name := range names {
		if old, ok := r.columns[name]; ok && old < len(r.sum) {
			sum[i], count[i] = r.sum[old], r.count[old]
		}
	}
	if err := r.rewrite(r.file.Name(), names); err != nil {
		return err
	}
	r.sum, r.count = sum, count
	return nil
}

// rewrite makes a ring of other columns out of this one, in its place.
func (r *ring) rewrite(path string, names []string) error {
	text, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	head := make([]byte, ringHead, ringHead+len(text))
	copy(head, ringMagic)
	binary.BigEndian.PutUint32(head[16:], uint32(len(text)))
	binary.BigEndian.PutUint32(head[20:], crc32.ChecksumIEEE(text))
	head = append(head, text...)
	slots, err := r.moved(names)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	_, err = f.Write(append(head, slots...))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		f, err = os.OpenFile(path, os.O_RDWR, 0o600) // its name is now the path
	}
	if err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	if r.file != nil {
		r.file.Close() // nothing of it is wanted any more
	}
	r.use(f, names, int64(len(head)))
	return nil
}

// moved is all slots with the columns of names.
func (r *ring) moved(names []string) ([]byte, error) {
	width := widthOf(len(names))
	out := make([]byte, r.slots*width)
	if r.file == nil {
		return out, nil
	}
	return out, r.scan(func(at int64, record []byte) {
		to := out[at*width:][:width]
		copy(to, record[:8])
		for i, name := range names {
			bits := math.Float32bits(float32(math.NaN()))
			if old, ok := r.columns[name]; ok {
				bits = binary.BigEndian.Uint32(record[slotHead+4*old:])
			}
			binary.BigEndian.PutUint32(to[slotHead+4*i:], bits)
		}
		binary.BigEndian.PutUint32(to[8:], sumOf(to))
	})
}

// scan gives every slot that was written and is whole, and where it stands.
func (r *ring) scan(give func(at int64, record []byte)) error {
	data := make([]byte, r.slots*r.width())
	if _, err := r.file.ReadAt(data, r.first); err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	for at := range r.slots {
		record := data[at*r.width():][:r.width()]
		if binary.BigEndian.Uint64(record) != 0 && binary.BigEndian.Uint32(record[8:]) == sumOf(record) {
			give(at, record)
		}
	}
	return nil
}

// each gives the slots that ended before now, the oldest first.
func (r *ring) each(now time.Time, give func(stamp int64, value func(column int) float32)) error {
	step := int64(r.step.Seconds())
	last := now.Unix() / step
	found := make([][]byte, r.slots)
	if err := r.scan(func(at int64, record []byte) { found[at] = record }); err != nil {
		return err
	}
	for slot := last - r.slots + 1; slot < last; slot++ {
		record := found[slot%r.slots]
		if record == nil || int64(binary.BigEndian.Uint64(record)) != slot*step {
			continue // of another time
		}
		give(slot*step, func(i int) float32 { return math.Float32frombits(binary.BigEndian.Uint32(record[slotHead+4*i:])) })
	}
	return nil
}
