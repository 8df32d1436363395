// Package archtest holds the import rules of docs/ARCHITECTURE.md ("Which way imports point") as data, and finds what breaks them.
package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the module's path.
const Module = "github.com/proa-cloud/proa"

// File is one Go file's package folder (relative to the module, "." for the root) and imports.
type File struct {
	Path    string
	Dir     string
	Package string
	Test    bool
	Imports []string
}

// Rule forbids imports, and says why.
type Rule struct {
	Name string
	Why  string
	// Broken reports whether file may not import the path. Paths of this module come relative ("traffic/dns"), others whole.
	Broken func(f File, imported string) bool
}

// within reports whether dir is folder or below it.
func within(dir string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return dir == f || strings.HasPrefix(dir, f+"/") })
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && !strings.HasPrefix(imported, Module)
}

func isVendorSDK(imported string) bool {
	return within(imported, "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "github.com/aws/aws-lambda-go", "github.com/Azure/azure-sdk-for-go")
}

// Rules are the project's.
func Rules() []Rule {
	lanes := []string{"traffic", "datasync", "console", "drill"}
	return []Rule{
		{
			Name: "the root package imports the standard library and hlc only",
			Why:  "every lane shares these nouns; whatever they import, everything imports",
			Broken: func(f File, imported string) bool {
				return !f.Test && within(f.Dir, "hlc") && !isStandard(imported) || !f.Test && f.Dir == "." && !isStandard(imported) && imported != Module+"/hlc"
			},
		},
		{
			Name: "lanes do not import each other",
			Why:  "node wires them; each must be readable, testable and replaceable alone",
			Broken: func(f File, imported string) bool {
				inside, ok := strings.CutPrefix(imported, Module+"/")
				return ok && slices.ContainsFunc(lanes, func(lane string) bool {
					return within(f.Dir, lane) && slices.ContainsFunc(lanes, func(o string) bool { return o != lane && within(inside, o) })
				})
			},
		},
		{
			Name: "traffic/dns imports neither health nor cloud",
			Why:  "it answers from the last snapshot whatever else is dead",
			Broken: func(f File, imported string) bool {
				inside := strings.TrimPrefix(imported, Module+"/")
				return within(f.Dir, "traffic/dns") && within(inside, "traffic/health", "cloud", "aws", "azure", "datasync", "node")
			},
		},
		{
			Name: "the vendors' SDKs are imported in aws, azure and function only",
			Why:  "the rest of the system must not know which cloud it faces",
			Broken: func(f File, imported string) bool {
				if f.Test || !isVendorSDK(imported) || within(f.Dir, "bench", "test") {
					return false
				}
				if within(f.Dir, "aws/local", "azure/local") {
					return !localMayUse(imported)
				}
				return !within(f.Dir, "aws", "azure", "function")
			},
		},
		{
			Name: "drivers do not know the local clouds",
			Why:  "there is no second, private path for the local mode",
			Broken: func(f File, imported string) bool {
				inside := strings.TrimPrefix(imported, Module+"/")
				outside := within(f.Dir, "aws", "azure", "function", "datasync", "traffic") && !within(f.Dir, "aws/local", "azure/local")
				return !f.Test && outside && within(inside, "aws/local", "azure/local")
			},
		},
		{
			Name: "nothing imports sim",
			Why:  "the simulator drives the system, never the other way round",
			Broken: func(f File, imported string) bool {
				return within(strings.TrimPrefix(imported, Module+"/"), "sim") && !within(f.Dir, "sim")
			},
		},
		{
			Name: "examples are imported by cmd only",
			Why:  "the demo function ships inside the binary; the system must not depend on it",
			Broken: func(f File, imported string) bool {
				return !f.Test && within(strings.TrimPrefix(imported, Module+"/"), "examples") && !within(f.Dir, "cmd", "examples")
			},
		},
	}
}

// localMayUse lists what the local clouds may take from the vendors: the signer to verify by re-signing, and codecs of wire formats.
func localMayUse(imported string) bool {
	return within(imported,
		"github.com/aws/aws-sdk-go-v2/aws", "github.com/aws/aws-sdk-go-v2/service/s3/types", "github.com/aws/smithy-go/encoding")
}

// ForbiddenNames are package names that say nothing of what is inside.
func ForbiddenNames() []string {
	return []string{"sync", "utils", "util", "common", "helpers", "manager", "types"}
}

// Read parses the imports of every Go file below root, hidden folders and testdata left out.
func Read(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := readFile(root, p)
		files = append(files, f)
		return err
	})
	return files, err
}

func readFile(root, p string) (File, error) {
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return File{}, err
	}
	rel = filepath.ToSlash(rel)
	ast, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
	if err != nil {
		return File{}, fmt.Errorf("read imports: %w", err)
	}
	f := File{Path: rel, Dir: path.Dir(rel), Package: strings.TrimSuffix(ast.Name.Name, "_test"), Test: strings.HasSuffix(rel, "_test.go")}
	for _, spec := range ast.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("read imports of %s: %w", rel, err)
		}
		f.Imports = append(f.Imports, imported)
	}
	return f, nil
}

// Check names every broken rule, file and import.
func Check(files []File, rules []Rule) []string {
	var broken []string
	for _, f := range files {
		if slices.Contains(ForbiddenNames(), f.Package) {
			broken = append(broken, fmt.Sprintf("%s: a package may not be called %q: name what is inside", f.Path, f.Package))
		}
		for _, imported := range f.Imports {
			for _, r := range rules {
				if r.Broken(f, imported) {
					broken = append(broken, fmt.Sprintf("%s imports %s: %s, because %s", f.Path, imported, r.Name, r.Why))
				}
			}
		}
	}
	return broken
}
