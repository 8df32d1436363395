package dns

// maxQuery is the longest query that is looked at over UDP: a question of 255 bytes, EDNS with
// options and a signature.
const maxQuery = 4096
