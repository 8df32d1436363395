package lambda

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// settings are the members that CreateFunction and UpdateFunctionConfiguration share.
type settings struct {
	Runtime          *string
	Role             *string
	Handler          *string
	Description      *string
	Timeout          *int
	MemorySize       *int
	Environment      *struct{ Variables map[string]string }
	EphemeralStorage *struct{ Size int }
	RevisionId       string

	// Members that would change what runs and do not exist here.
	Layers            []string
	VpcConfig         *struct{ SubnetIds []string }
	FileSystemConfigs []json.RawMessage
	ImageConfig       json.RawMessage
	DurableConfig     json.RawMessage
}

type createRequest struct {
	settings
	FunctionName  string
	Architectures []string
	Code          codeSource
	PackageType   string
	Publish       bool
	Tags          map[string]string
}

const maxEnvironmentBytes = 4 << 10

var (
	rolePattern     = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	variablePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)
)

func (s *Server) createFunction(w http.ResponseWriter, r *http.Request) *wire.Error {
	var in createRequest
	if refusal := wire.ReadJSON(r, MaxRequest, &in); refusal != nil {
		return refusal
	}
	name, refusal := resolve(in.FunctionName)
	if refusal != nil {
		return refusal
	}
	next := record{
		Name: name, TimeoutSeconds: 3, MemoryMB: 128, EphemeralMB: 512, Tags: in.Tags,
		Architectures: in.Architectures,
	}
	if len(next.Architectures) == 0 {
		next.Architectures = []string{"x86_64"}
	}
	if in.PackageType == "Image" {
		return invalid("Container images are not supported here.")
	}
	if in.Runtime == nil || in.Handler == nil {
		return invalid("Runtime and Handler are mandatory parameters for functions created with " +
			"deployment packages.")
	}
	if in.Role == nil {
		return constraint("role", "null", "Member must not be null")
	}
	if refusal := in.apply(&next); refusal != nil {
		return refusal
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if _, exists := s.get(name); exists {
		return wire.Errorf(http.StatusConflict, "ResourceConflictException",
			"Function already exist: %s", name)
	}
	if refusal := s.takeCode(r.Context(), in.Code, &next); refusal != nil {
		return refusal
	}
	if err := s.saveNew(&next, true); err != nil {
		return internal(err)
	}
	wire.WriteJSON(w, contentType, http.StatusCreated, s.configuration(&next))
	return nil
}

// saveNew commits a changed record under a new revision.
func (s *Server) saveNew(r *record, fresh bool) error {
	r.LastModified, r.RevisionID = s.cfg.Clock(), wire.RequestID()
	return s.save(*r, fresh)
}

// apply checks the settings and puts those that are given into the record.
func (in *settings) apply(r *record) *wire.Error {
	if len(in.Layers) > 0 || len(in.FileSystemConfigs) > 0 || in.ImageConfig != nil ||
		in.DurableConfig != nil || in.VpcConfig != nil && len(in.VpcConfig.SubnetIds) > 0 {
		return invalid("Layers, VPC, file systems, images and durable functions are not supported here.")
	}
	for _, check := range []func(*record) *wire.Error{
		in.applyIdentity, in.applySizes, in.applyEnvironment,
	} {
		if refusal := check(r); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (in *settings) applyIdentity(r *record) *wire.Error {
	if in.Runtime != nil {
		if *in.Runtime != "provided.al2023" && *in.Runtime != "provided.al2" {
			return constraint("runtime", *in.Runtime,
				"Member must satisfy enum value set here: [provided.al2023, provided.al2]")
		}
		r.Runtime = *in.Runtime
	}
	if in.Role != nil {
		if !rolePattern.MatchString(*in.Role) {
			return constraint("role", *in.Role, "Member must satisfy regular expression pattern: "+
				strings.Trim(rolePattern.String(), "^$"))
		}
		r.Role = *in.Role
	}
	if in.Handler != nil {
		if len(*in.Handler) > 128 || strings.ContainsAny(*in.Handler, " \t\r\n") {
			return constraint("handler", *in.Handler,
				`Member must satisfy regular expression pattern: [^\s]+`)
		}
		r.Handler = *in.Handler
	}
	if in.Description != nil {
		if len(*in.Description) > 256 {
			return constraint("description", *in.Description,
				"Member must have length less than or equal to 256")
		}
		r.Description = *in.Description
	}
	return nil
}

func (in *settings) applySizes(r *record) *wire.Error {
	for _, size := range []struct {
		name      string
		given     *int
		low, high int
		into      *int
	}{
		{"timeout", in.Timeout, 1, 900, &r.TimeoutSeconds},
		{"memorySize", in.MemorySize, 128, 10240, &r.MemoryMB},
	} {
		switch {
		case size.given == nil:
		case *size.given < size.low:
			return constraint(size.name, fmt.Sprint(*size.given),
				fmt.Sprintf("Member must have value greater than or equal to %d", size.low))
		case *size.given > size.high:
			return constraint(size.name, fmt.Sprint(*size.given),
				fmt.Sprintf("Member must have value less than or equal to %d", size.high))
		default:
			*size.into = *size.given
		}
	}
	if in.EphemeralStorage != nil {
		r.EphemeralMB = in.EphemeralStorage.Size
	}
	return nil
}

func (in *settings) applyEnvironment(r *record) *wire.Error {
	if in.Environment == nil {
		return nil
	}
	size, reserved := 0, []string(nil)
	for name, value := range in.Environment.Variables {
		size += len(name) + len(value)
		if !variablePattern.MatchString(name) || strings.ContainsRune(value, 0) {
			return constraint("environment.variables", "{"+name+"}",
				"Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "+
					strings.Trim(variablePattern.String(), "^$")+"]")
		}
		if reservedVariable(name) {
			reserved = append(reserved, name)
		}
	}
	if len(reserved) > 0 {
		slices.Sort(reserved)
		return invalid("Lambda was unable to configure your environment variables because the " +
			"environment variables you have provided contains reserved keys that are currently not " +
			"supported for modification. Reserved keys used in this request: " +
			strings.Join(reserved, ", "))
	}
	if size > maxEnvironmentBytes {
		return invalid("Lambda was unable to configure your environment variables because the " +
			"environment variables you have provided exceeded the 4KB limit.")
	}
	r.Environment = maps.Clone(in.Environment.Variables)
	return nil
}

// reservedVariable tells the names that Lambda keeps to itself.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func reservedVariable(name string) bool {
	switch name {
	case "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
		"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
		"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
		"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
		"AWS_LAMBDA_MAX_CONCURRENCY":
		return true
	}
	return false
}

// change loads a record, lets edit change it, and commits it.
func (s *Server) change(
	w http.ResponseWriter, name, revision string, fresh bool, edit func(*record) *wire.Error,
) *wire.Error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	next, ok := s.get(name)
	if !ok {
		return s.notFound(name)
	}
	if revision != "" && revision != next.RevisionID {
		return staleRevision()
	}
	if refusal := edit(&next); refusal != nil {
		return refusal
	}
	if err := s.saveNew(&next, fresh); err != nil {
		return internal(err)
	}
	if w != nil {
		wire.WriteJSON(w, contentType, http.StatusOK, s.configuration(&next))
	}
	return nil
}

func staleRevision() *wire.Error {
	return wire.Errorf(http.StatusPreconditionFailed, "PreconditionFailedException",
		"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias "+
			"API to retrieve the latest Revision Id")
}

func (s *Server) updateConfiguration(w http.ResponseWriter, r *http.Request, name string) *wire.Error {
	var in settings
	if refusal := wire.ReadJSON(r, MaxRequest, &in); refusal != nil {
		return refusal
	}
	return s.change(w, name, in.RevisionId, true, in.apply)
}

func (s *Server) updateCode(w http.ResponseWriter, r *http.Request, name string) *wire.Error {
	var in struct {
		codeSource
		Architectures []string
		DryRun        bool
		RevisionId    string
	}
	if refusal := wire.ReadJSON(r, MaxRequest, &in); refusal != nil {
		return refusal
	}
	if in.DryRun {
		return s.getConfiguration(w, r, name)
	}
	return s.change(w, name, in.RevisionId, true, func(next *record) *wire.Error {
		if len(in.Architectures) > 0 {
			next.Architectures = in.Architectures
		}
		return s.takeCode(r.Context(), in.codeSource, next)
	})
}

func (s *Server) deleteFunction(w http.ResponseWriter, _ *http.Request, name string) *wire.Error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if _, ok := s.get(name); !ok {
		return s.notFound(name)
	}
	if err := s.remove(name); err != nil {
		return internal(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
