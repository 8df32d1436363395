package sql

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

func parseDocs(t testing.TB, texts ...string) []value.Value {
	t.Helper()
	out := make([]value.Value, len(texts))
	for i, s := range texts {
		v, err := value.Parse([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		out[i] = v
	}
	return out
}

func fixedNow() time.Time { return time.Date(2026, 3, 1, 12, 30, 15, 123456700, time.UTC) }

// rows executes a query and renders its rows, separated by spaces.
func rows(t *testing.T, query string, params map[string]value.Value, docs []value.Value) string {
	t.Helper()
	p, err := Compile(query, params, Env{Now: fixedNow})
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	got, err := p.All(docs)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	var out []string
	for _, r := range got {
		out = append(out, string(r.JSON()))
	}
	return strings.Join(out, " ")
}

var families = []string{
	`{"id":"1","n":3,"s":"abc","l":[1,2,{"k":"v"}],"o":{"a":{"b":[5,6]}},"t":["x","y"],"u":null,"b":true}`,
	`{"id":"2","n":1.5,"s":"Abd","l":[],"o":{"a":1},"t":["y"],"b":false}`,
	`{"id":"3","n":"3","s":"z_%","o":{},"t":[]}`,
}

func TestQueriesYieldWhatTheServiceYields(t *testing.T) {
	docs := parseDocs(t, families...)
	params := map[string]value.Value{
		"@n":    value.OfNumber(3),
		"@list": value.OfArray([]value.Value{value.OfString("1"), value.OfString("3")}),
	}
	tests := []struct{ query, want string }{
		// Selection.
		{"SELECT c.id, c.n AS num, c.o.a.b[1] six FROM c WHERE c.id='1'", `{"id":"1","num":3,"six":6}`},
		{"SELECT VALUE c.id FROM c", `"1" "2" "3"`},
		{"SELECT c.nope FROM c", `{} {} {}`},
		{"SELECT VALUE c.nope FROM c", ``},
		{"SELECT 1, c.id, 'x' FROM c WHERE c.id = '1'", `{"$1":1,"id":"1","$2":"x"}`},
		{
			`SELECT VALUE {"a": c.n, b: [c.id, c.nope, null], "none": c.nope} FROM c WHERE c.id = "2"`,
			`{"a":1.5,"b":["2",null]}`,
		},
		{"SELECT c FROM c WHERE c.id='3'", `{"c":{"id":"3","n":"3","s":"z_%","o":{},"t":[]}}`},
		{"SELECT * FROM f WHERE f['id'] = '3'", `{"id":"3","n":"3","s":"z_%","o":{},"t":[]}`},
		{"select value c[\"o\"][\"a\"] from c where is_number(c.o.a)", `1`},
		{"SELECT VALUE 1 + 2 * 3", `7`},
		{"SELECT VALUE c.l[0] FROM c", `1`},
		// Filters and undefined.
		{"SELECT VALUE c.id FROM c WHERE c.n = 3", `"1"`},
		{"SELECT VALUE c.id FROM c WHERE c.n != 3", `"2" "3"`},
		{"SELECT VALUE c.id FROM c WHERE c.n > 1", `"1" "2"`},
		{"SELECT VALUE c.id FROM c WHERE NOT (c.n > 1)", ``},
		{"SELECT VALUE c.id FROM c WHERE c.u = null", `"1"`},
		{"SELECT VALUE c.id FROM c WHERE c.u != null", ``},
		{"SELECT VALUE c.id FROM c WHERE c.b", `"1"`},
		{"SELECT VALUE c.id FROM c WHERE NOT c.b", `"2"`},
		{"SELECT VALUE c.id FROM c WHERE c.b OR c.id = '3'", `"1" "3"`},
		{"SELECT VALUE c.id FROM c WHERE c.n = @n AND ARRAY_CONTAINS(@list, c.id)", `"1"`},
		{"SELECT VALUE c.id FROM c WHERE c.id IN ('3', '1')", `"1" "3"`},
		{"SELECT VALUE c.id FROM c WHERE c.id NOT IN ('3', '1')", `"2"`},
		{"SELECT VALUE c.id FROM c WHERE c.n BETWEEN 1 AND 2", `"2"`},
		{"SELECT VALUE c.id FROM c WHERE c.n NOT BETWEEN 1 AND 2", `"1"`},
		{"SELECT VALUE c.id FROM c WHERE c.s LIKE 'a%'", `"1"`},
		{"SELECT VALUE c.id FROM c WHERE c.s LIKE '[aA]b_'", `"1" "2"`},
		{"SELECT VALUE c.id FROM c WHERE c.s LIKE '%!%' ESCAPE '!'", `"3"`},
		{"SELECT VALUE c.id FROM c WHERE c.s NOT LIKE '%b%'", `"3"`},
		{"SELECT VALUE c.id FROM c WHERE c.o = {}", `"3"`},
		{"SELECT VALUE c.id FROM c WHERE c.o.a = {'b':[5,6]}", `"1"`},
		{"SELECT VALUE c.u ?? 'd' FROM c", `null "d" "d"`},
		{"SELECT VALUE c.b ? 'y' : 'n' FROM c", `"y" "n" "n"`},
		{"SELECT VALUE c.id || '-' || c.s FROM c WHERE c.id='1'", `"1-abc"`},
		{
			"SELECT VALUE [1/0, 7%4, -c.n, ~5, 5&3, 5|3, 5^3, 1<<4, -16>>2, -1>>>28] FROM c WHERE c.id='1'",
			`[3,-3,-6,1,7,6,16,-4,15]`,
		},
		{"SELECT VALUE c.n + 1 FROM c", `4 2.5`},
		{"SELECT VALUE true AND undefined", ``},
		{"SELECT VALUE false AND undefined", `false`},
		{"SELECT VALUE true OR undefined", `true`},
		// Joins and subqueries.
		{
			"SELECT c.id, t FROM c JOIN t IN c.t",
			`{"id":"1","t":"x"} {"id":"1","t":"y"} {"id":"2","t":"y"}`,
		},
		{"SELECT VALUE t FROM t IN c.t", `"x" "y" "y"`},
		{"SELECT VALUE a FROM c.o.a", `{"b":[5,6]} 1`},
		{"SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.t WHERE t = 'x')", `"1"`},
		{"SELECT VALUE ARRAY(SELECT VALUE UPPER(t) FROM t IN c.t) FROM c", `["X","Y"] ["Y"] []`},
		{
			"SELECT c.id, (SELECT VALUE COUNT(1) FROM t IN c.t) AS n FROM c",
			`{"id":"1","n":2} {"id":"2","n":1} {"id":"3","n":0}`,
		},
		{
			"SELECT c.id, m FROM c JOIN (SELECT VALUE t FROM t IN c.t WHERE t != 'x') AS m",
			`{"id":"1","m":"y"} {"id":"2","m":"y"}`,
		},
		{"SELECT VALUE c.id FROM c JOIN a IN c.t JOIN b IN c.t WHERE a != b", `"1" "1"`},
		// Order, cut, distinct.
		{"SELECT VALUE c.id FROM c ORDER BY c.n", `"2" "1" "3"`},
		{"SELECT VALUE c.id FROM c ORDER BY c.n DESC, c.id ASC", `"3" "1" "2"`},
		{"SELECT TOP 1 VALUE c.id FROM c", `"1"`},
		{"SELECT TOP @n c.id FROM c ORDER BY c.id DESC", `{"id":"3"} {"id":"2"} {"id":"1"}`},
		{"SELECT VALUE c.id FROM c OFFSET 1 LIMIT 1", `"2"`},
		{"SELECT DISTINCT VALUE t FROM c JOIN t IN c.t", `"x" "y"`},
		{"SELECT DISTINCT IS_NUMBER(c.n) AS num FROM c", `{"num":true} {"num":false}`},
		// Aggregates.
		{"SELECT COUNT(1)", `{"$1":1}`},
		{"SELECT COUNT(1), COUNT(c.u) AS u FROM c", `{"$1":3,"u":1}`},
		{"SELECT VALUE SUM(c.n) FROM c WHERE IS_NUMBER(c.n)", `4.5`},
		{"SELECT VALUE SUM(c.n) FROM c", ``},
		{"SELECT VALUE AVG(c.n) FROM c WHERE c.n > 0", `2.25`},
		{"SELECT MIN(c.n) AS lo, MAX(c.n) AS hi FROM c", `{"lo":1.5,"hi":"3"}`},
		{"SELECT VALUE COUNT(1) FROM c WHERE false", `0`},
		{"SELECT VALUE MAX(c.n) FROM c WHERE false", ``},
		{"SELECT c.b, COUNT(1) AS n FROM c GROUP BY c.b", `{"b":true,"n":1} {"b":false,"n":1} {"n":1}`},
		{"SELECT COUNT(1) AS n, t FROM c JOIN t IN c.t GROUP BY t", `{"n":1,"t":"x"} {"n":2,"t":"y"}`},
		{
			"SELECT VALUE {'k': c.b, 'n': SUM(c.n) + 1} FROM c WHERE c.n > 0 GROUP BY c.b",
			`{"k":true,"n":4} {"k":false,"n":2.5}`,
		},
		{"SELECT 1 AS one, COUNT(1) AS n FROM c WHERE false GROUP BY c.b", ``},
		// Text.
		{"SELECT VALUE 'it\\'s \\u00fc \"q\"' -- comment\n /* more */", `"it's ü \"q\""`},
		{"SELECT VALUE [1e3, .5, 2., 1.0, 12345678901234567890]", `[1000,0.5,2,1,12345678901234567000]`},
	}
	for _, tt := range tests {
		if got := rows(t, tt.query, params, docs); got != tt.want {
			t.Errorf("%s\ngives %s\nwant  %s", tt.query, got, tt.want)
		}
	}
}

func TestFunctionsComputeWhatTheDocsSay(t *testing.T) {
	tests := []struct{ x, want string }{
		{"CONCAT('a','b','c')", `"abc"`},
		{"CONCAT('a', 1)", ``},
		{"CONTAINS('abc','B')", `false`},
		{"CONTAINS('abc','B',true)", `true`},
		{
			"CONTAINS('abc', 1)",
			``,
		},
		{"STARTSWITH('abc','ab')", `true`},
		{
			"ENDSWITH('abc','BC',true)",
			`true`,
		},
		{"StringEquals('a','A',true)", `true`},
		{"INDEX_OF('abcabc','c')", `2`},
		{"INDEX_OF('abcabc','c',3)", `5`},
		{"INDEX_OF('abc','z')", `-1`},
		{"LEFT('abc',2)", `"ab"`},
		{"RIGHT('abc',2)", `"bc"`},
		{"LENGTH('äbc😀')", `4`},
		{
			"LOWER('ÄB')",
			`"äb"`,
		},
		{"UPPER('äb')", `"ÄB"`},
		{"LTRIM('  a ')", `"a "`},
		{"RTRIM('  a ')", `"  a"`},
		{
			"TRIM('  a ')",
			`"a"`,
		},
		{"TRIM('xax','x')", `"a"`},
		{"REPLACE('aXbX','X','--')", `"a--b--"`},
		{
			"REPLICATE('ab',3)",
			`"ababab"`,
		},
		{"REPLICATE('ab',10000)", ``},
		{"REVERSE('abc')", `"cba"`},
		{"SUBSTRING('abcdef',1,3)", `"bcd"`},
		{"SUBSTRING('abc',1)", `"bc"`},
		{
			"SUBSTRING('abc',9,1)",
			`""`,
		},
		{"REGEXMATCH('abcd','^A.C','i')", `true`},
		{"REGEXMATCH('abcd','[')", ``},
		{"STRINGSPLIT('a,b,c',',')", `["a","b","c"]`},
		{"STRINGJOIN(['a','b'],'-')", `"a-b"`},
		{"TOSTRING(1.5)", `"1.5"`},
		{"TOSTRING([1,'a'])", `"[1,\"a\"]"`},
		{"TOSTRING(undefined)", ``},
		{"StringToNumber('1e3')", `1000`},
		{"StringToNumber('x')", ``},
		{
			"StringToBoolean(' true ')",
			`true`,
		},
		{"StringToNull('null')", `null`},
		{"StringToArray('[1,2]')", `[1,2]`},
		{"StringToObject('{\"a\":1}')", `{"a":1}`},
		{"ABS(-1)", `1`},
		{"CEILING(1.2)", `2`},
		{"FLOOR(-1.2)", `-2`},
		{
			"ROUND(2.5)",
			`3`,
		},
		{"ROUND(-2.5)", `-3`},
		{"ROUND(2.345,2)", `2.35`},
		{"TRUNC(-2.7)", `-2`},
		{"SIGN(-3)", `-1`},
		{"SQRT(9)", `3`},
		{"SQRT(-1)", ``},
		{
			"SQUARE(3)",
			`9`,
		},
		{"POWER(2,10)", `1024`},
		{"LOG10(1000)", `3`},
		{"LOG(8,2)", `3`},
		{"EXP(0)", `1`},
		{
			"PI()",
			`3.141592653589793`,
		},
		{"DEGREES(PI())", `180`},
		{"COS(0)", `1`},
		{"NUMBERBIN(37.8, 10)", `30`},
		{"IntDiv(7,2)", `3`},
		{"IntMod(7,2)", `1`},
		{
			"IntDiv(1,0)",
			``,
		},
		{"IntAdd(1.5,1)", ``},
		{"IntBitLeftShift(1,4)", `16`},
		{"ABS('x')", ``},
		{"IS_DEFINED(undefined)", `false`},
		{"IS_NULL(null)", `true`},
		{
			"IS_BOOL(false)",
			`true`,
		},
		{"IS_NUMBER('1')", `false`},
		{"IS_STRING('')", `true`},
		{"IS_ARRAY([])", `true`},
		{
			"IS_OBJECT({})",
			`true`,
		},
		{"IS_PRIMITIVE([])", `false`},
		{"IS_INTEGER(1.0)", `true`},
		{"IS_INTEGER(1.5)", `false`},
		{"IIF(true, 1, 2)", `1`},
		{"IIF('x', 1, 2)", `2`},
		{"ARRAY_CONCAT([1],[2,3])", `[1,2,3]`},
		{"ARRAY_CONTAINS([1,{'a':1,'b':2}],{'a':1})", `false`},
		{"ARRAY_CONTAINS([1,{'a':1,'b':2}],{'a':1},true)", `true`},
		{
			"ARRAY_CONTAINS('x',1)",
			``,
		},
		{"ARRAY_LENGTH([1,2])", `2`},
		{"ARRAY_SLICE([1,2,3,4],1,2)", `[2,3]`},
		{
			"ARRAY_SLICE([1,2,3],-2)",
			`[2,3]`,
		},
		{"ARRAY_CONTAINS_ANY([1,2],3,2)", `true`},
		{"ARRAY_CONTAINS_ALL([1,2],1,3)", `false`},
		{
			"SetUnion([1,2],[2,3])",
			`[1,2,3]`,
		},
		{"SetIntersect([1,2,2],[2,3])", `[2]`},
		{"CHOOSE(2,'a','b')", `"b"`},
		{"CHOOSE(0,'a')", ``},
		{
			"ObjectToArray({'a':1})",
			`[{"k":"a","v":1}]`,
		},
		{"GetCurrentDateTime()", `"2026-03-01T12:30:15.1234567Z"`},
		{
			"GetCurrentTimestamp()",
			`1772368215123`,
		},
		{"DateTimeAdd('mm',1,'2026-01-31T00:00:00Z')", `"2026-02-28T00:00:00.0000000Z"`},
		{"DateTimeAdd('ss',-1,'2026-01-01')", `"2025-12-31T23:59:59.0000000Z"`},
		{
			"DateTimeDiff('day','2026-01-01T23:00:00Z','2026-01-02T01:00:00Z')",
			`1`,
		},
		{"DateTimeDiff('year','2025-12-31','2026-01-01')", `1`},
		{
			"DateTimePart('hh','2026-01-02T03:04:05.678Z')",
			`3`,
		},
		{"DateTimePart('ms','2026-01-02T03:04:05.678Z')", `678`},
		{"DateTimeToTimestamp('1970-01-01T00:00:01Z')", `1000`},
		{
			"TimestampToDateTime(1500)",
			`"1970-01-01T00:00:01.5000000Z"`,
		},
		{"DateTimeToTicks('1970-01-01T00:00:01Z')", `10000000`},
		{
			"TicksToDateTime(10000000)",
			`"1970-01-01T00:00:01.0000000Z"`,
		},
		{
			"DateTimeFromParts(2026,2,3,4)",
			`"2026-02-03T04:00:00.0000000Z"`,
		},
		{"DateTimeFromParts(2026,2,30)", ``},
		{
			"DateTimeBin('2026-01-02T13:00:00Z','day')",
			`"2026-01-02T00:00:00.0000000Z"`,
		},
		{"DateTimeAdd('x',1,'2026-01-01')", ``},
	}
	for _, tt := range tests {
		if got := rows(t, "SELECT VALUE "+tt.x, nil, nil); got != tt.want {
			t.Errorf("%s gives %s, want %s", tt.x, got, tt.want)
		}
	}
}

func TestNothingIsSilentlySkipped(t *testing.T) {
	tests := []struct{ query, code, text string }{
		{"", "SC1001", "unexpected end"},
		{"SELECT", "SC1001", "unexpected end"},
		{"SELECT * FROM", "SC1001", "unexpected end"},
		{"SELECT * FROM c WHERE", "SC1001", "unexpected end"},
		{"SELEC * FROM c", "SC1001", "'SELEC'"},
		{"SELECT * FROM c extra words", "SC1001", "'words'"},
		{"SELECT * FROM c; DROP", "SC1001", "';'"},
		{"SELECT * FROM c WHERE c.a == 1", "SC1001", "'='"},
		{"SELECT * FROM c WHERE c.a = 1 c.b = 2", "SC1001", "'c'"},
		{"SELECT * FROM c ORDER BY c.a OFFSET 1", "SC1001", "unexpected end"},
		{"SELECT * FROM c LIMIT 1", "SC1001", "'LIMIT'"},
		{"SELECT * FROM c WHERE c.a IN ()", "SC1001", "')'"},
		{"SELECT * FROM c WHERE c.a NOT 1", "SC1001", "'1'"},
		{"SELECT TOP -1 * FROM c", "SC1001", "'-'"},
		{"SELECT TOP 1.5 * FROM c", "SC2062", "whole number"},
		{"SELECT * FROM c WHERE c.s = 'open", "SC1012", "unterminated"},
		{"SELECT VALUE '\\x'", "SC1010", "invalid string"},
		{"SELECT VALUE 1abc", "SC1001", "'1abc'"},
		{"SELECT c.a, c.b AS a FROM c", "SC2010", "already defined"},
		{"SELECT x FROM c", "SC2001", "'x'"},
		{"SELECT * FROM c JOIN d IN e.l", "SC2001", "'e'"},
		{"SELECT * FROM c JOIN d IN c.l", "SC2030", "single input set"},
		{"SELECT *", "SC2031", "FROM clause is omitted"},
		{"SELECT c.a FROM c WHERE COUNT(1) > 1", "SC2103", "not allowed"},
		{"SELECT COUNT(COUNT(1)) FROM c", "SC2103", "not allowed"},
		{"SELECT c.a, COUNT(1) FROM c GROUP BY c.b", "SC2102", "invalid in the select list"},
		{"SELECT udf.f(c.a) FROM c", "SC2005", "User defined"},
		{"SELECT VALUE ABS()", "SC2070", "requires 1"},
		{"SELECT VALUE ST_DISTANCE(c.a, c.b) FROM c", "SC2005", "not a recognized"},
		{"SELECT VALUE " + strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100), "SC3019", "nested"},
		{"SELECT VALUE '" + strings.Repeat("x", MaxText) + "'", "SC3004", "maximum limit"},
		{"SELECT VALUE 1 /* open", "SC1001", "comment"},
	}
	for _, tt := range tests {
		_, err := Compile(tt.query, nil, Env{})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%.80s\ngives %v\nwant  %s … %s", tt.query, err, tt.code, tt.text)
		}
	}
}

func TestRunawayQueriesStop(t *testing.T) {
	docs := parseDocs(t, `{"l":[`+strings.Repeat("1,", 199)+`1]}`)
	polls := 0
	p, err := Compile("SELECT VALUE COUNT(1) FROM c JOIN a IN c.l JOIN b IN c.l JOIN d IN c.l "+
		"JOIN e IN c.l JOIN f IN c.l", nil,
		Env{Stop: func() bool { polls++; return polls > 100 }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.All(docs)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeBudget {
		t.Errorf("a join of 3e11 rows ends with %v, want %s", err, CodeBudget)
	}
	big := parseDocs(t, `{"s":"`+strings.Repeat("x", 1<<20)+`"}`)
	p, err = Compile("SELECT ["+strings.Repeat("c.s,", 200)+"c.s] AS a FROM c", nil, Env{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.All(big)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeMemory {
		t.Errorf("a row of 200 MB ends with %v, want %s", err, CodeMemory)
	}
}

// TestPlansSurviveTheirOwnText: the canonical text of a query means the same, which is what
// rewritten queries rely on.
func TestPlansSurviveTheirOwnText(t *testing.T) {
	docs := parseDocs(t, families...)
	for _, q := range []string{
		"SELECT c.id, c.n AS num, c.o.a.b[1] six FROM c WHERE c.id='1' AND NOT c.nope OR -c.n < 3",
		"SELECT VALUE {'a': ARRAY(SELECT VALUE t FROM t IN c.t), 'b': c.b ? 1 : c.n ?? 2} FROM c",
		"SELECT DISTINCT TOP 5 VALUE t FROM c JOIN t IN c.t WHERE t LIKE '%x%' OR t NOT IN ('q') AND " +
			"c.n NOT BETWEEN 1 AND 1.2",
		"SELECT c.b, COUNT(1) AS n FROM c GROUP BY c.b",
		"SELECT VALUE a FROM c.o.a",
		"SELECT m FROM c JOIN (SELECT VALUE t FROM t IN c.t) AS m WHERE EXISTS(SELECT 1)",
	} {
		ast, err := parse(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		ast.format(&b)
		if got, want := rows(t, b.String(), nil, docs), rows(t, q, nil, docs); got != want {
			t.Errorf("%s\nas %s\ngives %s\nwant  %s", q, b.String(), got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, q := range []string{
		"SELECT * FROM c",
		"SELECT VALUE {'a':[1,c.b??2]} FROM c JOIN x IN c.l WHERE x LIKE '[a-z]_%' ESCAPE '!' ORDER " +
			"BY c.a DESC OFFSET 1 LIMIT 2",
		"SELECT c.g, COUNT(1), AVG(c.x) FROM c GROUP BY c.g", "SELECT VALUE EXISTS(SELECT TOP 1 " +
			"VALUE -1>>>2 FROM c IN d) AND ARRAY(SELECT 1)[0]",
		"SELECT VALUE DateTimeAdd('mm', 1e300, '2026-01-31') || SUBSTRING('a', -5, 1e9) FROM c WHERE " +
			"NOT NOT c.a BETWEEN 1 AND 2",
	} {
		f.Add(q)
	}
	docs := parseDocs(f, families...)
	f.Fuzz(func(t *testing.T, q string) {
		left := 1000
		p, err := Compile(q, nil, Env{Now: fixedNow, Stop: func() bool { left--; return left < 0 }})
		if err != nil {
			return
		}
		_ = p.Info()
		if _, err := p.All(docs); err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%q: %v is no *Error", q, err)
			}
		}
		ast, bad := parse(q, nil)
		if bad != nil {
			t.Fatalf("%q compiles but does not parse: %v", q, bad)
		}
		var b strings.Builder
		ast.format(&b)
		if _, bad := parse(b.String(), nil); bad != nil && bad.Code != "SC3019" && bad.Code != "SC3004" {
			t.Fatalf("%q\nbecomes %q\nwhich is refused: %v", q, b.String(), bad)
		}
	})
}
