// Package trafficsim is the traffic controller's simulator: the real controllers of three nodes under
// virtual time, with votes, a modelled replicated log, and everything that can go wrong between them.
//
// A schedule is a policy and 28 rounds, or 80 of one in eight or so, drawn from a seed: the same seed,
// the same schedule. Short ones with many faults find more in the same time than long ones with few.
// In each round something may break or heal, peers hear each other where they can, who leads proposes
// what its controller decided, and the checkers look at every state that was agreed:
//
//   - at most one plan a version; none that was not decided on its predecessor; no node goes back
//   - a failover only on a majority's votes, and never to a region that is not healthy
//   - a failback only behind its gate; held means held; never more than the flap budget allows
//   - an answer always names a region
//   - one owner of data sync an epoch, and never two with a lease
//   - one region with write leases, where tables have one writer; nothing is lost by a switchover
//   - when all is well again, traffic, owner and writers are where they belong, and a dead region
//     is left
//
// What it does not model: probes (traffic/health has a month of them), the log's own algorithm (a
// library with its own proofs; here an entry is agreed, refused, or agreed without its proposer being
// told), disks and the name server.
package trafficsim
