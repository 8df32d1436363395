// Package policy decides conflicts: what becomes of two states of one key that were written without
// knowledge of each other.
//
// A policy is a pure function of the two states and of the state that both came from (the base). It
// reads no clock and does no I/O. What holds for every policy:
//
//   - deterministic and commutative: the same two states give the same outcome, in whichever order
//     they are met;
//   - idempotent and absorbing: a state meets itself, or what it was merged into, and nothing
//     changes;
//   - monotone: the outcome's version (which resolve gives) is above both.
//
// What holds for some: lww, prefer, counter and set are associative, so any number of concurrent
// states give one outcome in any order; merge is where they changed different attributes, and where
// they changed the same one its outcome may depend on the order in which the conflicts were met,
// though both sides always end up the same. A CEL expression is as associative as it is written.
//
// Where the base is not known (a row of unknown age, a lost shadow index) counter, set and merge
// cannot tell what changed: the newer state wins, and the decision's note says so. A delete against
// an update is decided as a whole: the newer one wins, except by prefer, cel and manual.
package policy
