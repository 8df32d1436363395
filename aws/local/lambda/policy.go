package lambda

import (
	"net/http"
	"regexp"
	"slices"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// statement is one permission of a function's resource policy. It is stored and shown; it decides
// nothing here, where one account owns everything.
type statement struct {
	ID, Effect, Action string
	Principal          string
	SourceArn          string
	SourceAccount      string
}

var statementPattern = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,100}$`)

// maxPolicyStatements keeps a policy under the vendor's 20 KB.
const maxPolicyStatements = 100

func (s *Server) render(st statement, function string) map[string]any {
	out := map[string]any{
		"Sid": st.ID, "Effect": "Allow", "Action": st.Action, "Resource": s.arn(function),
	}
	switch {
	case st.Principal == "*":
		out["Principal"] = "*"
	case regexp.MustCompile(`^\d{12}$`).MatchString(st.Principal):
		out["Principal"] = map[string]any{"AWS": "arn:aws:iam::" + st.Principal + ":root"}
	case regexp.MustCompile(`^arn:`).MatchString(st.Principal):
		out["Principal"] = map[string]any{"AWS": st.Principal}
	default:
		out["Principal"] = map[string]any{"Service": st.Principal}
	}
	condition := map[string]any{}
	if st.SourceArn != "" {
		condition["ArnLike"] = map[string]any{"AWS:SourceArn": st.SourceArn}
	}
	if st.SourceAccount != "" {
		condition["StringEquals"] = map[string]any{"AWS:SourceAccount": st.SourceAccount}
	}
	if len(condition) > 0 {
		out["Condition"] = condition
	}
	return out
}

func (s *Server) addPermission(w http.ResponseWriter, r *http.Request, name string) *wire.Error {
	var in struct {
		StatementId, Action, Principal, SourceArn, SourceAccount, RevisionId string
	}
	if refusal := wire.ReadJSON(r, 64<<10, &in); refusal != nil {
		return refusal
	}
	switch {
	case !statementPattern.MatchString(in.StatementId):
		return constraint("statementId", in.StatementId,
			`Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)`)
	case in.Action == "" || in.Principal == "":
		return constraint("action", in.Action, "Member must not be null")
	}
	added := statement{
		ID: in.StatementId, Action: in.Action, Principal: in.Principal,
		SourceArn: in.SourceArn, SourceAccount: in.SourceAccount,
	}
	refusal := s.change(nil, name, in.RevisionId, false, func(next *record) *wire.Error {
		same := func(st statement) bool { return st.ID == in.StatementId }
		if slices.ContainsFunc(next.Policy, same) {
			return wire.Errorf(http.StatusConflict, "ResourceConflictException",
				"The statement id (%s) provided already exists. Please provide a new statement id, or "+
					"remove the existing statement.", in.StatementId)
		}
		if len(next.Policy) >= maxPolicyStatements {
			return wire.Errorf(http.StatusBadRequest, "PolicyLengthExceededException",
				"The final policy size is bigger than the limit (20480).")
		}
		next.Policy = append(slices.Clone(next.Policy), added)
		return nil
	})
	if refusal != nil {
		return refusal
	}
	text, err := wire.Marshal(s.render(added, name))
	if err != nil {
		return internal(err)
	}
	wire.WriteJSON(w, contentType, http.StatusCreated, map[string]any{"Statement": string(text)})
	return nil
}

func noPolicy() *wire.Error {
	return wire.Errorf(http.StatusNotFound, "ResourceNotFoundException",
		"The resource you requested does not exist.")
}

func (s *Server) getPolicy(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	r, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	if len(r.Policy) == 0 {
		return noPolicy()
	}
	statements := make([]any, 0, len(r.Policy))
	for _, st := range r.Policy {
		statements = append(statements, s.render(st, name))
	}
	text, err := wire.Marshal(map[string]any{
		"Version": "2012-10-17", "Id": "default", "Statement": statements,
	})
	if err != nil {
		return internal(err)
	}
	wire.WriteJSON(w, contentType, http.StatusOK,
		map[string]any{"Policy": string(text), "RevisionId": r.RevisionID})
	return nil
}

func (s *Server) removePermission(
	w http.ResponseWriter, r *http.Request, name, id string,
) *wire.Error {
	revision := r.URL.Query().Get("RevisionId")
	refusal := s.change(nil, name, revision, false, func(next *record) *wire.Error {
		kept := slices.DeleteFunc(slices.Clone(next.Policy), func(st statement) bool { return st.ID == id })
		if len(kept) == len(next.Policy) {
			return wire.Errorf(http.StatusNotFound, "ResourceNotFoundException",
				"Statement %s is not found in resource policy.", id)
		}
		next.Policy = kept
		return nil
	})
	if refusal == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return refusal
}

// minUnreserved is what reservations must leave to the functions without one.
const minUnreserved = 100

// reservedSum adds up the reservations, but for one function's. The lock is held.
func (s *Server) reservedSum(except string) int {
	sum := 0
	for name, f := range s.functions {
		if f.record.Reserved != nil && name != except {
			sum += *f.record.Reserved
		}
	}
	return sum
}

func (s *Server) putConcurrency(w http.ResponseWriter, r *http.Request, name string) *wire.Error {
	var in struct{ ReservedConcurrentExecutions *int }
	if refusal := wire.ReadJSON(r, 64<<10, &in); refusal != nil {
		return refusal
	}
	if in.ReservedConcurrentExecutions == nil || *in.ReservedConcurrentExecutions < 0 {
		return constraint("reservedConcurrentExecutions", "null",
			"Member must have value greater than or equal to 0")
	}
	refusal := s.change(nil, name, "", true, func(next *record) *wire.Error {
		s.mu.Lock()
		left := s.cfg.AccountConcurrency - s.reservedSum(name) - *in.ReservedConcurrentExecutions
		s.mu.Unlock()
		if left < min(minUnreserved, s.cfg.AccountConcurrency) && *in.ReservedConcurrentExecutions > 0 {
			return invalid("Specified ReservedConcurrentExecutions for function decreases account's " +
				"UnreservedConcurrentExecution below its minimum value of [100].")
		}
		next.Reserved = in.ReservedConcurrentExecutions
		return nil
	})
	if refusal == nil {
		wire.WriteJSON(w, contentType, http.StatusOK, map[string]any{
			"ReservedConcurrentExecutions": *in.ReservedConcurrentExecutions,
		})
	}
	return refusal
}

func (s *Server) getConcurrency(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	r, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	out := map[string]any{}
	if r.Reserved != nil {
		out["ReservedConcurrentExecutions"] = *r.Reserved
	}
	wire.WriteJSON(w, contentType, http.StatusOK, out)
	return nil
}

func (s *Server) deleteConcurrency(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	refusal := s.change(nil, name, "", true, func(next *record) *wire.Error {
		next.Reserved = nil
		return nil
	})
	if refusal == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return refusal
}

// Allows reports whether the function's policy lets a service call it on behalf of the ARN. A
// function that does not exist allows everything: calling it says so better.
func (s *Server) Allows(function, service, sourceARN string) bool {
	name, refusal := resolve(function)
	if refusal != nil {
		return true
	}
	r, ok := s.get(name)
	if !ok {
		return true
	}
	return slices.ContainsFunc(r.Policy, func(st statement) bool {
		action := st.Action == "lambda:InvokeFunction" || st.Action == "lambda:*"
		return action && (st.Principal == service || st.Principal == "*") &&
			(st.SourceArn == "" || like(st.SourceArn, sourceARN)) &&
			(st.SourceAccount == "" || st.SourceAccount == s.cfg.AccountID)
	})
}

// like is ArnLike's comparison: * stands for anything, ? for one character.
func like(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark, p = p, t, p+1
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
