package expr

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

func n(s string) proa.Value { return proa.Value{Kind: proa.KindN, Str: s} }

func sample() proa.Item {
	return proa.Item{
		"id": proa.String("k"), "a": n("5"), "b": proa.String("hello"), "z": proa.Null(),
		"t":  proa.Bool(true),
		"l":  proa.List(n("1"), proa.String("x"), proa.Map(proa.Item{"deep": n("7")})),
		"m":  proa.Map(proa.Item{"x": n("1"), "y": proa.Map(proa.Item{"w": proa.String("v")})}),
		"ss": proa.SetOf(proa.KindSS, []string{"p", "q"}), "ns": proa.SetOf(proa.KindNS, []string{
			"1",
			"2",
		}),
		"bin": proa.Binary([]byte{0, 1, 255}),
	}
}

func values() map[string]proa.Value {
	return map[string]proa.Value{
		":one": n("1"), ":five": n("5"), ":ten": n("10"), ":s": proa.String("hello"),
		":he": proa.String("he"),
		":p":  proa.String("p"), ":S": proa.String("S"), ":N": proa.String("N"),
		":ss": proa.SetOf(proa.KindSS, []string{"q", "p"}),
		":l":  proa.List(n("9")), ":b": proa.Binary([]byte{0, 1}), ":true": proa.Bool(true),
		":m": proa.Map(proa.Item{}),
	}
}

func names() map[string]string {
	return map[string]string{
		"#name": "b", "#dot": "has.dot",
		"#m": "m",
	}
}

func TestConditionsHoldAsTheVendorSays(t *testing.T) {
	tests := []struct {
		src  string
		want bool
	}{
		{"a = :five", true},
		{"a <> :five", false},
		{"a < :ten AND a > :one AND a <= :five AND a >= :five", true},
		{"b < :five", false}, // unlike types never order
		{"b <> :five", true}, // and are unequal
		{"nope = :five", false},
		{"nope <> :five", true},
		{"NOT nope = :five", true},
		{"a BETWEEN :one AND :five", true},
		{"a BETWEEN :one AND :five AND b = :s", true},
		{"NOT a BETWEEN :one AND :five", false},
		{"a IN (:one, :ten)", false},
		{"a IN (:one, :five)", true},
		{"a = :one OR a = :five AND b = :he", false}, // AND binds tighter
		{"(a = :one OR a = :five) AND b = :s", true},
		{"NOT a = :one AND b = :s", true}, // NOT binds tighter still
		{"NOT (a = :five AND b = :s)", false},
		{"attribute_exists(m.y.w)", true},
		{"attribute_exists(l[2].deep)", true},
		{"attribute_exists(l[3])", false},
		{"attribute_exists(a.b)", false},
		{"attribute_not_exists(nope)", true},
		{"attribute_exists(z)", true}, // NULL is a value
		{"attribute_type(b, :S)", true},
		{"attribute_type(b, :N)", false},
		{"attribute_type(nope, :N)", false},
		{"begins_with(#name, :he)", true},
		{"begins_with(bin, :b)", true},
		{"begins_with(a, :he)", false},
		{"contains(b, :he)", true},
		{"contains(ss, :p)", true},
		{"contains(ns, :one)", true},
		{"contains(l, :one)", true},
		{"contains(l, :ten)", false},
		{"contains(a, :one)", false},
		{"size(b) = :five", true},
		{"size(ss) > :one AND size(l) > :one AND size(m) > :one", true},
		{"size(a) >= :one", false}, // a number has no size
		{"NOT size(nope) > :one", true},
		{"ss = :ss", true},
		{"t = :true", true},
		{"#m.x = :one", true},
		{"attribute_exists(#dot)", false},
		{"a=:five and b=:s or not a<>:five", true}, // keywords in any case, no blanks needed
	}
	for _, tt := range tests {
		c, err := ParseCondition("ConditionExpression", tt.src, NewBindings(names(), values()))
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if got := c.Eval(sample()); got != tt.want {
			t.Errorf("%s = %t, want %t", tt.src, got, tt.want)
		}
	}
}

func TestConditionsAreRefusedInTheVendorsWords(t *testing.T) {
	tests := []struct{ src, want string }{
		{"", "The expression can not be empty;"},
		{"a =", `Syntax error; token: "<EOF>", near: "="`},
		{"a = :one)", `Syntax error; token: ")", near: ":one)"`},
		{"a == :one", `Syntax error; token: "=", near: "== :one"`},
		{"a != :one", `Syntax error; token: "!", near: "a !="`},
		{"a", `Syntax error; token: "<EOF>", near: "a"`},
		{"a IN ()", `Syntax error; token: ")", near: "()"`},
		{"a..b = :one", `Syntax error; token: ".", near: "..b"`},
		{"a = 5", `Syntax error; token: "5", near: "= 5"`},
		{"(a) AND b = :s", `Syntax error; token: "AND", near: ") AND b"`},
		{"name = :s", "Attribute name is a reserved keyword; reserved keyword: name"},
		{"NAME = :s", "Attribute name is a reserved keyword; reserved keyword: NAME"},
		{"a = :nope", "An expression attribute value used in expression is not defined; attribute " +
			"value: :nope"},
		{"#nope = :s", "An expression attribute name used in the document path is not defined; " +
			"attribute name: #nope"},
		{"foo(a)", "Invalid function name; function: foo"},
		{"size(a)", "The function is not allowed to be used this way in an expression; function: size"},
		{"attribute_exists(a) = :one", "The function is not allowed to be used this way in an " +
			"expression; function: attribute_exists"},
		{"if_not_exists(a, :one) = :one", "The function is not allowed in a condition expression; " +
			"function: if_not_exists"},
		{"attribute_exists(:one)", "Operator or function requires a document path; operator or " +
			"function: attribute_exists"},
		{"begins_with(a)", "Incorrect number of operands for operator or function; operator or " +
			"function: begins_with, number of operands: 1"},
		{"begins_with(a, :one)", "Incorrect operand type for operator or function; operator or " +
			"function: begins_with, operand type: N"},
		{"a < :true", "Incorrect operand type for operator or function; operator or function: <, " +
			"operand type: BOOL"},
		{"attribute_type(a, :s)", "Invalid attribute type name found; type: hello, valid types: " +
			"{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"},
		{"a BETWEEN :ten AND :one", "The BETWEEN operator requires upper bound to be greater than or " +
			"equal to lower bound; " +
			"lower bound operand: AttributeValue: {N:10}, upper bound operand: AttributeValue: {N:1}"},
		{"a BETWEEN :one AND :s", "The BETWEEN operator requires same data type for lower and upper " +
			"bounds; " +
			"lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:hello}"},
		{"a = a", "The first operand must be distinct from the remaining operands for this operator or " +
			"function; " +
			"operator: =, first operand: [a]"},
		{"((a = :one))", "The expression has redundant parentheses;"},
		{
			"a = :one OR " + strings.Repeat("a = :one OR ", 500) + "a = :one",
			"Expression size has exceeded the maximum allowed size; expression size: 6020",
		},
		{strings.Repeat("a=:one OR ", 310) + "a=:one", "The expression contains too many operators; " +
			"operator count: 301"},
		{"a IN (" + strings.Repeat(":one,", 100) + ":one)", "The IN operator is provided with too many " +
			"operands; number of operands: 101"},
		{"attribute_exists(a" + strings.Repeat(".b", 32) + ")", "The document path has too many " +
			"nesting levels; nesting levels: 33"},
		{"a[99999999999999] = :one", "List index is not within the allowable range; index: " +
			"[99999999999999]"},
	}
	for _, tt := range tests {
		_, err := ParseCondition("FilterExpression", tt.src, NewBindings(names(), values()))
		if err == nil || err.Error() != "Invalid FilterExpression: "+tt.want {
			t.Errorf("%.60s: %v\n  want %s", tt.src, err, tt.want)
		}
	}
}

func TestUpdatesReadTheItemAsItWas(t *testing.T) {
	tests := []struct{ src, want string }{
		{"SET a = a + :one, b = a", `{"a":{"N":"6"},"b":{"N":"5"}}`},
		{"SET a = :one - a", `{"a":{"N":"-4"}}`},
		{"SET c = if_not_exists(c, :one) + :one", `{"c":{"N":"2"}}`},
		{
			"SET l = list_append(l, :l)",
			`{"l":{"L":[{"N":"1"},{"S":"x"},{"M":{"deep":{"N":"7"}}},{"N":"9"}]}}`,
		},
		{
			"SET l[9] = :ten, l[7] = :five REMOVE l[0]",
			`{"l":{"L":[{"S":"x"},{"M":{"deep":{"N":"7"}}},{"N":"5"},{"N":"10"}]}}`,
		},
		{"REMOVE l[0], l[1]", `{"l":{"L":[{"M":{"deep":{"N":"7"}}}]}}`},
		{
			"SET m.y.w = :one, m.q = :ten REMOVE m.x",
			`{"m":{"M":{"q":{"N":"10"},"y":{"M":{"w":{"N":"1"}}}}}}`,
		},
		{"REMOVE nope, m.nope, l[8]", `{}`},
		{"ADD a :ten, c :one", `{"a":{"N":"15"},"c":{"N":"1"}}`},
		{"ADD ss :ss DELETE ns :nines", `{}`},
		{"DELETE ss :ss", `{"-":{"S":"ss"}}`},
		{
			"set l[2].deep = l[2].deep + :one add #name2 :one",
			`{"l":{"L":[{"N":"1"},{"S":"x"},{"M":{"deep":{"N":"8"}}}]},"new":{"N":"1"}}`,
		},
	}
	for _, tt := range tests {
		vals, nms := values(), names()
		vals[":nines"], nms["#name2"] = proa.SetOf(proa.KindNS, []string{"9"}), "new"
		u, err := ParseUpdate(tt.src, NewBindings(nms, vals))
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		before := string(sample().AppendJSON(nil))
		item := sample()
		got, err := u.Apply(item)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if after := string(item.AppendJSON(nil)); after != before {
			t.Errorf("%s changed the item it was given", tt.src)
		}
		if d := cmp.Diff(tt.want, string(changes(sample(), got).AppendJSON(nil))); d != "" {
			t.Errorf("%s:\n%s", tt.src, d)
		}
	}
}

// changes is the attributes that differ; "-" names one that is gone.
func changes(old, new proa.Item) proa.Item {
	d := proa.Item{}
	for name, v := range new {
		if !v.Equal(old[name]) {
			d[name] = v
		}
	}
	for name := range old {
		if _, ok := new[name]; !ok {
			d["-"] = proa.String(name)
		}
	}
	return d
}

func TestUpdatesAreRefusedInTheVendorsWords(t *testing.T) {
	const invalid = "Invalid UpdateExpression: "
	tests := []struct{ src, want string }{
		{"SET a", invalid + `Syntax error; token: "<EOF>", near: "a"`},
		{"FOO a", invalid + `Syntax error; token: "FOO", near: "FOO a"`},
		{"SET a = :one SET b = :one", invalid +
			`The "SET" section can only be used once in an update expression;`},
		{"SET a.b = :one, a = :one", invalid + "Two document paths overlap with each other; must " +
			"remove or rewrite one of these paths; path one: [a, b], path two: [a]"},
		{"SET a[0] = :one, a.b = :one", invalid + "Two document paths conflict with each other; must " +
			"remove or rewrite one of these paths; path one: [a, [0]], path two: [a, b]"},
		{"SET a = size(l)", invalid + "The function is not allowed in an update expression; function: " +
			"size"},
		{"SET a = :one + :one + :one", invalid + `Syntax error; token: "+", near: ":one + :one"`},
		{"SET a = :s + :one", invalid + "Incorrect operand type for operator or function; operator or " +
			"function: +, operand type: S"},
		{"SET a = list_append(l, :one)", invalid + "Incorrect operand type for operator or function; " +
			"operator or function: list_append, operand type: N"},
		{"ADD a :s", invalid + "Incorrect operand type for operator or function; operator: ADD, " +
			"operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"},
		{"DELETE a :one", invalid + "Incorrect operand type for operator or function; operator: " +
			"DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"},
		{"SET a = nope", MsgNoSuchOperand},
		{"SET a = b + :one", MsgBadOperandType},
		{"SET nope.x = :one", MsgBadUpdatePath},
		{"SET a.x = :one", MsgBadUpdatePath},
		{"SET m[0] = :one", MsgBadUpdatePath},
		{"REMOVE nope.x", MsgBadUpdatePath},
		{"ADD b :one", MsgBadOperandType},
		{"DELETE a :ss", MsgBadOperandType},
		{"ADD a :huge", MsgTooManyDigits},
	}
	for _, tt := range tests {
		vals := values()
		vals[":huge"] = n("1" + strings.Repeat("0", 40))
		u, err := ParseUpdate(tt.src, NewBindings(names(), vals))
		if err == nil {
			_, err = u.Apply(sample())
		}
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v\n  want %s", tt.src, err, tt.want)
		}
	}
}

func TestArithmeticIsExactDecimal(t *testing.T) {
	tests := []struct {
		a, b  string
		minus bool
		want  string
	}{
		{"0.1", "0.2", false, "0.3"},
		{"1", "1", true, "0"},
		{"-1.5", "0.5", true, "-2"},
		{"99999999999999999999999999999999999998", "1", false, "99999999999999999999999999999999999999"},
		{"99999999999999999999999999999999999999", "1", false, "100000000000000000000000000000000000000"},
		{
			"0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000002", true,
			"-0.00000000000000000000000000000000000001",
		},
	}
	for _, tt := range tests {
		if got, err := add(tt.a, tt.b, tt.minus); err != nil || got != tt.want {
			t.Errorf("%s, %s = %s, %v, want %s", tt.a, tt.b, got, err, tt.want)
		}
	}
	if _, err := add("1", "0.00000000000000000000000000000000000001", false); err == nil ||
		err.Error() != MsgTooManyDigits {
		t.Errorf("39 digits: %v", err)
	}
}

func TestProjectionSelectsPaths(t *testing.T) {
	tests := []struct{ src, want string }{
		{"a", `{"a":{"N":"5"}}`},
		{"m.y.w, m.x", `{"m":{"M":{"x":{"N":"1"},"y":{"M":{"w":{"S":"v"}}}}}}`},
		{"l[2].deep, l[0]", `{"l":{"L":[{"N":"1"},{"M":{"deep":{"N":"7"}}}]}}`},
		{"nope, m.nope, l[9], a.b", `{}`},
		{"#name", `{"b":{"S":"hello"}}`},
	}
	for _, tt := range tests {
		p, err := ParseProjection(tt.src, NewBindings(names(), nil))
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if got := string(p.Apply(sample()).AppendJSON(nil)); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.src, got, tt.want)
		}
	}
	_, err := ParseProjection("a, a.b", NewBindings(nil, nil))
	const want = "Invalid ProjectionExpression: Two document paths overlap with each other; " +
		"must remove or rewrite one of these paths; path one: [a], path two: [a, b]"
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestUnusedBindingsAreRefused(t *testing.T) {
	b := NewBindings(map[string]string{"#a": "a", "#x": "x"}, map[string]proa.Value{
		":v": n("1"),
		":w": n("1"), ":u": n("1"),
	})
	if _, err := ParseCondition("ConditionExpression", "#a = :v", b); err != nil {
		t.Fatal(err)
	}
	if err := b.CheckUnused(); err == nil || err.Error() !=
		"Value provided in ExpressionAttributeValues unused in expressions: keys: {:u, :w}" {
		t.Error(err)
	}
}

func TestAllReservedWordsAreKnown(t *testing.T) {
	if got := len(strings.Fields(reservedWords)); got != 573 {
		t.Errorf("%d reserved words, want 573", got)
	}
	for _, w := range []string{"abort", "Zone", "FLATTERN", "name", "size", "ttl", "status"} {
		if !Reserved(w) {
			t.Errorf("%s is not reserved", w)
		}
	}
	for _, w := range []string{"id", "", "a", "abor", "version", "abort absolute"} {
		if w != "abort absolute" && Reserved(w) {
			t.Errorf("%q is reserved", w)
		}
	}
}

// FuzzParse: no source makes a parser or an evaluator panic, whatever the item.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a = :one AND NOT (b IN (:s, :he) OR size(l[0].x) BETWEEN :one AND :ten)",
		"SET a.b[0] = if_not_exists(a, :one) - :one",
		"SET l = list_append(:l, l) REMOVE m.x, l[1] ADD a :one DELETE ss :ss",
		"a, m.y.w, l[2].deep, #name", "((((", "NOT NOT",
		"a[", "SET", "begins_with(id, :he) AND id = :s", "id = :s", "a BETWEEN", "é = :s",
		"attribute_exists(", "#", ":",
	} {
		f.Add(s)
	}
	schema := proa.Schema{HashName: "id", HashKind: proa.KindS, RangeName: "a", RangeKind: proa.KindN}
	f.Fuzz(func(t *testing.T, src string) {
		if c, err := ParseCondition("ConditionExpression", src, NewBindings(names(),
			values())); err == nil {
			c.Eval(sample())
			c.Eval(nil)
			c.Names()
		}
		if u, err := ParseUpdate(src, NewBindings(names(), values())); err == nil {
			if got, err := u.Apply(sample()); err == nil {
				got.AppendJSON(nil)
			}
		}
		if p, err := ParseProjection(src, NewBindings(names(), nil)); err == nil {
			p.Apply(sample())
		}
		if k, err := ParseKeyCondition(src, NewBindings(names(), values()), schema); err == nil {
			k.Matches(n("1"))
		}
	})
}
