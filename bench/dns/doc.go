// Package dns measures the name server beside gdnsd and NSD, in one run on one machine: the CPU time
// of one query, the latency at a fixed rate, and the memory of a million names. It has benchmarks
// only. The servers are pinned to one processor and asked from another, one worker each, in turns;
// what is compared is CPU time a query, which other load on the machine hardly moves.
//
//	apt-get install gdnsd nsd
//	go test ./bench/dns -run '^$' -bench . -benchtime 1x -timeout 30m
package dns
