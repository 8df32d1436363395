// Package proa holds the nouns that every lane of the picture shares: regions, keys, values, items,
// versions, envelopes, changes, verdicts and plans. It does no I/O and imports the standard library and hlc only.
//
// See docs/ARCHITECTURE.md for the picture and the names of its boxes.
package proa
