// Package bench measures proa beside what it is compared with, in one run on one machine. It has
// benchmarks only; each says what it reports.
//
//	go test ./bench -run xxx -bench . -benchtime 1x
package bench
