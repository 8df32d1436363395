// Package dice is the simulators' source of numbers.
package dice

import "time"

// Dice is a small generator of numbers (splitmix64). Each action has one of its own.
type Dice struct{ State uint64 }

// Next draws 64 bits.
func (d *Dice) Next() uint64 {
	d.State += 0x9e3779b97f4a7c15
	z := d.State
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// N draws from 0 to below most.
func (d *Dice) N(most int) int {
	if most <= 1 {
		return 0
	}
	return int((d.Next() >> 33) % uint64(most)) //nolint:gosec // below most
}

// One reports true once in n times.
func (d *Dice) One(n int) bool { return d.N(n) == 0 }

// Spread draws from -most to +most.
func (d *Dice) Spread(most time.Duration) time.Duration {
	return time.Duration(d.N(int(2*most/time.Millisecond)))*time.Millisecond - most
}
