package lambda

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// configuration renders a FunctionConfiguration.
// https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
func (s *Server) configuration(r *record) map[string]any {
	out := map[string]any{
		"FunctionName":     r.Name,
		"FunctionArn":      s.arn(r.Name),
		"Runtime":          r.Runtime,
		"Role":             r.Role,
		"Handler":          r.Handler,
		"CodeSize":         r.CodeSize,
		"CodeSha256":       r.codeSHA256(),
		"Description":      r.Description,
		"Timeout":          r.TimeoutSeconds,
		"MemorySize":       r.MemoryMB,
		"LastModified":     r.LastModified.UTC().Format("2006-01-02T15:04:05.000+0000"),
		"Version":          latest,
		"TracingConfig":    map[string]any{"Mode": "PassThrough"},
		"RevisionId":       r.RevisionID,
		"State":            "Active",
		"LastUpdateStatus": "Successful",
		"PackageType":      "Zip",
		"Architectures":    r.Architectures,
		"EphemeralStorage": map[string]any{"Size": r.EphemeralMB},
		"SnapStart":        map[string]any{"ApplyOn": "None", "OptimizationStatus": "Off"},
		"LoggingConfig":    map[string]any{"LogFormat": "Text", "LogGroup": "/aws/lambda/" + r.Name},
	}
	if len(r.Environment) > 0 {
		out["Environment"] = map[string]any{"Variables": r.Environment}
	}
	return out
}

func (s *Server) getConfiguration(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	r, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	wire.WriteJSON(w, contentType, http.StatusOK, s.configuration(&r))
	return nil
}

func (s *Server) getFunction(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	r, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	out := map[string]any{
		"Configuration": s.configuration(&r),
		"Code":          map[string]any{"RepositoryType": "S3"},
	}
	if len(r.Tags) > 0 {
		out["Tags"] = r.Tags
	}
	if r.Reserved != nil {
		out["Concurrency"] = map[string]any{"ReservedConcurrentExecutions": *r.Reserved}
	}
	wire.WriteJSON(w, contentType, http.StatusOK, out)
	return nil
}

// listFunctions returns a page in the order of the names; the marker is the last name returned.
func (s *Server) listFunctions(w http.ResponseWriter, r *http.Request) *wire.Error {
	limit := 50
	if given := r.URL.Query().Get("MaxItems"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 || n > 10000 {
			return constraint("maxItems", given, "Member must have value between 1 and 10000")
		}
		limit = min(limit, n)
	}
	marker := r.URL.Query().Get("Marker")
	var names []string
	for _, name := range s.names() {
		if name > marker {
			names = append(names, name)
		}
	}
	out := map[string]any{}
	if len(names) > limit {
		names = names[:limit]
		out["NextMarker"] = names[limit-1]
	}
	list := make([]any, 0, len(names))
	for _, name := range names {
		if f, ok := s.get(name); ok {
			list = append(list, s.configuration(&f))
		}
	}
	out["Functions"] = list
	wire.WriteJSON(w, contentType, http.StatusOK, out)
	return nil
}

// listVersions knows $LATEST alone: versions cannot be published here.
func (s *Server) listVersions(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	r, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	only := s.configuration(&r)
	only["FunctionArn"] = s.arn(name) + ":" + latest
	wire.WriteJSON(w, contentType, http.StatusOK, map[string]any{"Versions": []any{only}})
	return nil
}

func (s *Server) getCodeSigning(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	wire.WriteJSON(w, contentType, http.StatusOK, map[string]any{"FunctionName": name})
	return nil
}

func (s *Server) accountSettings(w http.ResponseWriter) *wire.Error {
	var code int64
	names := s.names()
	for _, name := range names {
		if r, ok := s.get(name); ok {
			code += r.CodeSize
		}
	}
	s.mu.Lock()
	unreserved := s.cfg.AccountConcurrency - s.reservedSum("")
	s.mu.Unlock()
	wire.WriteJSON(w, contentType, http.StatusOK, map[string]any{
		"AccountLimit": map[string]any{
			"ConcurrentExecutions": s.cfg.AccountConcurrency, "CodeSizeUnzipped": 262144000,
			"UnreservedConcurrentExecutions": unreserved, "CodeSizeZipped": maxDirectPackage,
			"TotalCodeSize": 80530636800,
		},
		"AccountUsage": map[string]any{"FunctionCount": len(names), "TotalCodeSize": code},
	})
	return nil
}

// tags lists, adds and removes a function's tags.
func (s *Server) tags(w http.ResponseWriter, r *http.Request, escaped string) *wire.Error {
	name, refusal := resolve(strings.ReplaceAll(escaped, "%3A", ":"))
	if refusal != nil {
		return refusal
	}
	current, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	switch r.Method {
	case http.MethodGet:
		tags := current.Tags
		if tags == nil {
			tags = map[string]string{}
		}
		wire.WriteJSON(w, contentType, http.StatusOK, map[string]any{"Tags": tags})
		return nil
	case http.MethodPost:
		var in struct{ Tags map[string]string }
		if refusal := wire.ReadJSON(r, 1<<20, &in); refusal != nil {
			return refusal
		}
		return s.retag(w, name, in.Tags, nil)
	case http.MethodDelete:
		return s.retag(w, name, nil, r.URL.Query()["tagKeys"])
	}
	return unknownOperation()
}

const maxTags = 50

func (s *Server) retag(w http.ResponseWriter, name string, add map[string]string, remove []string) *wire.Error {
	refusal := s.change(nil, name, "", false, func(next *record) *wire.Error {
		tags := map[string]string{}
		for key, value := range next.Tags {
			tags[key] = value
		}
		for key, value := range add {
			tags[key] = value
		}
		for _, key := range remove {
			delete(tags, key)
		}
		if len(tags) > maxTags {
			return invalid("Tags cannot exceed 50 entries.")
		}
		next.Tags = tags
		return nil
	})
	if refusal == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return refusal
}
