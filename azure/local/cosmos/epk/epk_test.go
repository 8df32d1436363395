package epk

import (
	"strings"
	"testing"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// TestKeysRouteAsTheOfficialSDKsCompute holds vectors computed with azure-cosmos 4.17.1 (Python).
func TestKeysRouteAsTheOfficialSDKsCompute(t *testing.T) {
	str, num := value.OfString, value.OfNumber
	tests := []struct {
		kind Kind
		in   []value.Value
		want string
	}{
		{HashV1, []value.Value{str("a")}, "05C1D78593652C086200"},
		{HashV1, []value.Value{str("")}, "05C1CF33970FF80800"},
		{HashV1, []value.Value{str("partitionKey")}, "05C1E1B3D9CD2608716273756A756A706F4C667A00"},
		{
			HashV1,
			[]value.Value{str(strings.Repeat("x", 250))},
			"05C1DD45A3938C087979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797900",
		},
		{
			HashV1,
			[]value.Value{str("héllo wörld 😀")},
			"05C1D367CD4BF00869C4AA6D6D702178C4B7736D6521F1A0998100",
		},
		{HashV1, []value.Value{num(5.0)}, "05C1D9C1C5517C05C014"},
		{HashV1, []value.Value{num(-0.5)}, "05C1C10D33EB18054020"},
		{HashV1, []value.Value{num(1e300)}, "05C1AB5FCFAF8005FE37F30F918103D738"},
		{HashV1, []value.Value{num(0.0)}, "05C1BF6DA11560058000"},
		{HashV1, []value.Value{value.OfBool(true)}, "05C1D7C5A903D803"},
		{HashV1, []value.Value{value.OfBool(false)}, "05C1DB857D857C02"},
		{HashV1, []value.Value{{}}, "05C1D529E345DC00"},
		{HashV2, []value.Value{str("a")}, "3A5381E1114EB8D3FCC90795045B49B7"},
		{HashV2, []value.Value{str("")}, "32E9366E637A71B4E710384B2F4970A0"},
		{HashV2, []value.Value{str("partitionKey")}, "013AEFCF77FA271571CF665A58C933F1"},
		{HashV2, []value.Value{str(strings.Repeat("x", 250))}, "1029AB04776CAD7C9FE3F94FA86A98FF"},
		{HashV2, []value.Value{str("héllo wörld 😀")}, "1820A81D9C63DB7CC7C196B677B1C013"},
		{HashV2, []value.Value{num(5.0)}, "19C08621B135968252FB34B4CF66F811"},
		{HashV2, []value.Value{num(-0.5)}, "04C8191FC18308BCB37FDA5DCC5C9768"},
		{HashV2, []value.Value{num(1e300)}, "1234CB21048B20039B22F11DBB13CD7B"},
		{HashV2, []value.Value{num(0.0)}, "155B95BEDAC4B1E9EC1CDC9BB0DDDE58"},
		{HashV2, []value.Value{value.OfBool(true)}, "0E711127C5B5A8E4726AC6DD306A3E59"},
		{HashV2, []value.Value{value.OfBool(false)}, "2FE1BE91E90A3439635E0E9E37361EF2"},
		{HashV2, []value.Value{value.OfNull()}, "378867E4430E67857ACE5C908374FE16"},
		{HashV2, []value.Value{{}}, "11622DAA78F835834610ABE56EFF5CB5"},
		{MultiHash, []value.Value{str("a")}, "3A5381E1114EB8D3FCC90795045B49B7"},
		{
			MultiHash,
			[]value.Value{str("a"), num(1.0)},
			"3A5381E1114EB8D3FCC90795045B49B720CD98B339BA78A5D0CF6953B87070B0",
		},
		{
			MultiHash,
			[]value.Value{str("a"), num(1.0), value.OfBool(true)},
			"3A5381E1114EB8D3FCC90795045B49B720CD98B339BA78A5D0CF6953B87070B00E711127C5B5A8E4726AC6DD306A3E59",
		},
		{
			MultiHash,
			[]value.Value{str("t"), str("u"), str("v")},
			"3B310042FC8EA24E4CB78FD8BFEDBAA729E7D08B5A25B26B4FB56A0F9A7E5DFD1C890E286BBEB324194041931D94C768",
		},
	}
	for _, tt := range tests {
		if got := Of(tt.kind, tt.in); got != tt.want {
			t.Errorf("Of(%d, %s) = %s, want %s", tt.kind, value.OfArray(tt.in).JSON(), got, tt.want)
		}
	}
}

func TestEveryKeyLiesInsideTheKeySpace(t *testing.T) {
	for _, kind := range []Kind{HashV1, HashV2, MultiHash} {
		for i := range 1000 {
			e := Of(kind, []value.Value{value.OfNumber(float64(i))})
			if e < Min || e >= Max {
				t.Fatalf("kind %d key %d: %s is outside the key space", kind, i, e)
			}
		}
	}
}

func TestMiddleHalvesTheKeySpace(t *testing.T) {
	mid, ok := Middle(Min, Max)
	if want := "20000000000000000000000000000000"; mid != want || !ok {
		t.Fatalf("Middle of everything = %s, want %s", mid, want)
	}
	quarter, ok := Middle(Min, mid)
	if want := "10000000000000000000000000000000"; quarter != want || !ok {
		t.Fatalf("Middle of the lower half = %s, want %s", quarter, want)
	}
	if _, ok := Middle(quarter, quarter[:31]+"1"); ok {
		t.Fatal("two neighbouring boundaries have a middle")
	}
}
