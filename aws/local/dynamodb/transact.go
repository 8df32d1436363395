package dynamodb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

const (
	maxTransact   = 100
	maxTxBytes    = 4 << 20        // of all items that a transaction reads or writes
	tokenLifeMS   = 10 * 60 * 1000 // how long a ClientRequestToken makes a request idempotent
	maxTokenBytes = 36
)

type transactItem struct {
	ConditionCheck *keyInput `json:",omitempty"`
	Put            *putInput `json:",omitempty"`
	Update         *keyInput `json:",omitempty"`
	Delete         *keyInput `json:",omitempty"`
}

type transactWriteInput struct {
	TransactItems               []transactItem
	ClientRequestToken          *string
	ReturnConsumedCapacity      string
	ReturnItemCollectionMetrics string
}

// mutation parses the one action that the item must hold.
func (it transactItem) mutation(n int) (*mutation, error) {
	actions := 0
	for _, set := range []bool{
		it.ConditionCheck != nil, it.Put != nil, it.Update != nil,
		it.Delete != nil,
	} {
		if set {
			actions++
		}
	}
	if actions > 1 {
		return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	member := func(action, name string) error {
		return constraint("null", fmt.Sprintf("transactItems.%d.member.%s.%s", n+1, action, name),
			"Member must not be null")
	}
	switch {
	case it.Put != nil:
		return it.Put.mutation()
	case it.Delete != nil:
		return it.Delete.mutation(mutateDelete)
	case it.Update != nil:
		if it.Update.UpdateExpression == nil {
			return nil, member("update", "updateExpression")
		}
		return it.Update.mutation(mutateUpdate)
	case it.ConditionCheck != nil:
		if it.ConditionCheck.ConditionExpression == nil {
			return nil, member("conditionCheck", "conditionExpression")
		}
		return it.ConditionCheck.mutation(mutateCheck)
	}
	return nil, invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or " +
		"Update request")
}

// transaction is a parsed TransactWriteItems with its tables locked.
type transaction struct {
	mutations []*mutation
	tables    map[string]*table
	keys      []proa.Key
	token     []byte // the database's key of the token; nil when there is none
	digest    [sha256.Size]byte
}

func (s *Server) transactWrite(in *transactWriteInput) (any, error) {
	tx, err := in.parse()
	if err != nil {
		return nil, err
	}
	unlock, err := s.openAll(tx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := tx.resolveKeys(); err != nil {
		return nil, err
	}
	u, err := s.runTransaction(tx)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if c := u.report(in.ReturnConsumedCapacity, true); c != nil {
		out["ConsumedCapacity"] = c
	}
	return out, nil
}

func (in *transactWriteInput) parse() (*transaction, error) {
	if err := checkCapacityOption(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if in.TransactItems == nil {
		return nil, constraint("null", "transactItems", "Member must not be null")
	}
	if err := checkLength(len(in.TransactItems), maxTransact, "transactItems"); err != nil {
		return nil, err
	}
	tx := &transaction{}
	for i, it := range in.TransactItems {
		m, err := it.mutation(i)
		if err != nil {
			return nil, err
		}
		tx.mutations = append(tx.mutations, m)
	}
	if in.ClientRequestToken == nil {
		return tx, nil
	}
	if n := len(*in.ClientRequestToken); n < 1 || n > maxTokenBytes {
		return nil, constraint("'"+*in.ClientRequestToken+"'", "clientRequestToken",
			"Member must have length less than or equal to 36")
	}
	content, err := json.Marshal(in.TransactItems)
	if err != nil {
		return nil, err
	}
	tx.token = append([]byte{prefixToken}, *in.ClientRequestToken...)
	tx.digest = sha256.Sum256(content)
	return tx, nil
}

// openAll locks every table of the transaction shared, in one order.
func (s *Server) openAll(tx *transaction) (unlock func(), err error) {
	tx.tables = map[string]*table{}
	for _, m := range tx.mutations {
		tx.tables[m.table] = nil
	}
	unlock = func() {
		for _, t := range tx.tables {
			if t != nil {
				t.mu.RUnlock()
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tx.tables)) {
		t, err := s.open(name, notFound("Requested resource not found"))
		if err != nil {
			unlock()
			return nil, err
		}
		tx.tables[name] = t
	}
	return unlock, nil
}

func (tx *transaction) resolveKeys() error {
	seen := map[string]bool{}
	reasons := make([]cancelReason, len(tx.mutations))
	bad := false
	for i, m := range tx.mutations {
		k, err := m.keyIn(tx.tables[m.table].meta.Schema)
		if reasons[i], err = reasonOf(err); err != nil {
			return err
		}
		bad = bad || reasons[i].Code != "None"
		if id := m.table + "/" + k.ID(); reasons[i].Code == "None" {
			if seen[id] {
				return invalid("Transaction request cannot include multiple operations on one item")
			}
			seen[id] = true
		}
		tx.keys = append(tx.keys, k)
	}
	if bad {
		return cancelled(reasons)
	}
	return nil
}

// reasonOf turns one action's refusal into a reason; errors that are not the client's come back.
func reasonOf(err error) (cancelReason, error) {
	if err == nil {
		return cancelReason{Code: "None"}, nil
	}
	refusal, clients := asAPIError(err)
	if !clients {
		return cancelReason{}, err
	}
	switch kind := refusal.kind[strings.IndexByte(refusal.kind, '#')+1:]; kind {
	case "ConditionalCheckFailedException":
		return cancelReason{"ConditionalCheckFailed", refusal.message, refusal.item}, nil
	case "ProvisionedThroughputExceededException":
		return cancelReason{"ProvisionedThroughputExceeded", refusal.message, nil}, nil
	}
	return cancelReason{"ValidationError", refusal.message, nil}, nil
}

func cancelled(reasons []cancelReason) *apiError {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	e := serviceError("TransactionCanceledException",
		"Transaction cancelled, please refer cancellation reasons for specific reasons [%s]",
		strings.Join(codes, ", "))
	e.reasons = reasons
	return e
}

func (s *Server) runTransaction(tx *transaction) (usage, error) {
	indexes := make([]int, 0, len(tx.keys)+1)
	for i, k := range tx.keys {
		indexes = append(indexes, stripeIndex(tx.tables[tx.mutations[i].table].meta.ID, k))
	}
	if tx.token != nil { // requests with one token take turns, whatever their keys
		indexes = append(indexes, stripeIndex(0, proa.Key{Hash: proa.String(string(tx.token))}))
	}
	unlock := s.lockStripes(indexes)
	u, c, err := s.transactLocked(tx)
	upTo := s.ticket.Load()
	unlock()
	if c != nil {
		return u, c.await()
	}
	return u, errors.Join(err, s.durable.wait(upTo))
}

func (s *Server) transactLocked(tx *transaction) (u usage, c *commitment, err error) {
	replay, err := s.replayed(tx)
	if err != nil {
		return u, nil, err
	}
	changes := make([]change, len(tx.mutations))
	reasons := make([]cancelReason, len(tx.mutations))
	bad, bytes := false, 0
	for i, m := range tx.mutations {
		t := tx.tables[m.table]
		old, err := readItem(s.db, itemKey(t.meta.ID, tx.keys[i]))
		if err != nil {
			return u, nil, err
		}
		if replay {
			u.addRead(m.table, 2*readUnits(itemSize(old), true))
			continue
		}
		next, err := m.next(old)
		if err == nil {
			err = t.checkIndexKeys(next)
		}
		if err == nil {
			units := 2 * writeUnits(old, next)
			u.addWrite(m.table, units)
			for _, ix := range t.meta.Indexes {
				u.addIndex(m.table, &ix, 2*ix.units(t.meta.Schema, old, next), 1)
			}
			err = t.writes.take(units, s.cfg.Clock())
		}
		if reasons[i], err = reasonOf(err); err != nil {
			return u, nil, err
		}
		bad = bad || reasons[i].Code != "None"
		bytes += m.payload(next)
		changes[i] = change{table: t, key: tx.keys[i], old: old, new: next}
	}
	switch {
	case replay:
		return u, nil, nil
	case bad:
		return u, nil, cancelled(reasons)
	case bytes > maxTxBytes:
		return u, nil, payloadTooLarge(bytes)
	}
	c, err = s.commit(changes, func(b *pebble.Batch) error { return s.remember(b, tx) })
	return u, c, err
}

// payload is what the mutation adds to its transaction's size: the item that it writes, else the key.
func (m *mutation) payload(next proa.Item) int {
	if m.kind == mutatePut || m.kind == mutateUpdate {
		return itemSize(next)
	}
	return itemSize(m.key)
}

func payloadTooLarge(bytes int) error {
	return invalid("Transaction payload size cannot exceed 4MB. Payload Size: %d", bytes)
}

// replayed reports whether the transaction's token was used for this very request in the last ten
// minutes.
func (s *Server) replayed(tx *transaction) (bool, error) {
	if tx.token == nil {
		return false, nil
	}
	v, err := s.get(tx.token)
	if err != nil || len(v) != 8+sha256.Size {
		return false, err
	}
	if s.nowMS()-int64(binary.BigEndian.Uint64(v)) >= tokenLifeMS {
		return false, nil
	}
	if !bytes.Equal(v[8:], tx.digest[:]) {
		return false, serviceError("IdempotentParameterMismatchException",
			"The given ClientRequestToken was already used with different parameters")
	}
	return true, nil
}

func (s *Server) remember(b *pebble.Batch, tx *transaction) error {
	if tx.token == nil {
		return nil
	}
	v := binary.BigEndian.AppendUint64(nil, uint64(s.nowMS()))
	return b.Set(tx.token, append(v, tx.digest[:]...), nil)
}

// dropTokens forgets the tokens that have had their time. Losing such a deletion in a crash is
// harmless: no sync.
func (s *Server) dropTokens() error {
	return s.eachPair([]byte{prefixToken}, func(key, value []byte) error {
		if len(value) >= 8 && s.nowMS()-int64(binary.BigEndian.Uint64(value)) < tokenLifeMS {
			return nil
		}
		return s.db.Delete(slices.Clone(key), pebble.NoSync)
	})
}

type transactGetInput struct {
	TransactItems          []struct{ Get *getInput }
	ReturnConsumedCapacity string
}

func (s *Server) transactGet(in *transactGetInput) (any, error) {
	if err := checkCapacityOption(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if in.TransactItems == nil {
		return nil, constraint("null", "transactItems", "Member must not be null")
	}
	if err := checkLength(len(in.TransactItems), maxTransact, "transactItems"); err != nil {
		return nil, err
	}
	snapshot := s.db.NewSnapshot()
	upTo := s.ticket.Load()
	responses, u, err := s.getAll(in, snapshot)
	if err = errors.Join(err, snapshot.Close(), s.durable.wait(upTo)); err != nil {
		return nil, err
	}
	out := map[string]any{"Responses": responses}
	if c := u.report(in.ReturnConsumedCapacity, true); c != nil {
		out["ConsumedCapacity"] = c
	}
	return out, nil
}

func (s *Server) getAll(
	in *transactGetInput, r pebble.Reader,
) ([]map[string]proa.Item, usage, error) {
	var u usage
	responses := make([]map[string]proa.Item, len(in.TransactItems))
	reasons := make([]cancelReason, len(in.TransactItems))
	seen := map[string]bool{}
	bad, bytes := false, 0
	for i, it := range in.TransactItems {
		if it.Get == nil {
			return nil, u, constraint("null", fmt.Sprintf("transactItems.%d.member.get", i+1),
				"Member must not be null")
		}
		id, item, err := s.getInSnapshot(it.Get, r, &u)
		if id != "" && seen[id] {
			return nil, u, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[id] = true
		var missing *apiError
		if errors.As(err, &missing) && missing.kind == nsService+"ResourceNotFoundException" {
			return nil, u, err
		}
		if reasons[i], err = reasonOf(err); err != nil {
			return nil, u, err
		}
		bad = bad || reasons[i].Code != "None"
		if responses[i] = map[string]proa.Item{}; item != nil {
			responses[i]["Item"] = item
		}
		if bytes += itemSize(item); bytes > maxTxBytes {
			return nil, u, payloadTooLarge(bytes)
		}
	}
	if bad {
		return nil, u, cancelled(reasons)
	}
	return responses, u, nil
}

// getInSnapshot returns the item and what identifies it within the transaction.
func (s *Server) getInSnapshot(in *getInput, r pebble.Reader, u *usage) (string, proa.Item, error) {
	name, err := tableName(in.TableName)
	if err != nil {
		return "", nil, err
	}
	p, err := projection(in.ProjectionExpression, in.expressions, in.legacy)
	if err != nil {
		return "", nil, err
	}
	key, err := in.Key.item()
	if err != nil {
		return "", nil, err
	}
	t, err := s.open(name, notFound("Requested resource not found"))
	if err != nil {
		return "", nil, err
	}
	defer t.mu.RUnlock()
	k, err := exactKey(t.meta.Schema, key)
	if err != nil {
		return "", nil, err
	}
	item, err := readItem(r, itemKey(t.meta.ID, k))
	if err != nil {
		return "", nil, err
	}
	units := 2 * readUnits(itemSize(item), true)
	u.addRead(name, units)
	return name + "/" + k.ID(), p.Apply(item), t.reads.take(units, s.cfg.Clock())
}
