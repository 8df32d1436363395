package trafficsim

// dice is a small generator of numbers (splitmix64). Each action has one of its own.
type dice struct{ state uint64 }

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// n draws from 0 to below most.
func (d *dice) n(most int) int {
	if most <= 1 {
		return 0
	}
	return int((d.next() >> 33) % uint64(most)) //nolint:gosec // below most
}

// one reports true once in n times.
func (d *dice) one(n int) bool { return d.n(n) == 0 }
