// Package sim is the deterministic simulator of the replicator's data path: two regions with their
// tables and change feeds, applications, nodes with disks, clocks and links, around the production
// core (package resolve), which it uses unchanged. A seed is a history: there are no goroutines, no
// real time, no order of maps in it. A history that breaks a promise is shrunk and printed.
//
// A history is a list of actions (Plan). What an action chooses, it draws from numbers of its own, so
// that leaving others out changes it as little as possible. After the last action everything is
// repaired and the world must come to rest; then the promises are checked.
//
// What is modelled and what is not: README.md.
package sim
