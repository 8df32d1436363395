package aws

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/proa-cloud/proa"
)

func toItem(item proa.Item) map[string]types.AttributeValue {
	out := make(map[string]types.AttributeValue, len(item))
	for name, v := range item {
		out[name] = toValue(v)
	}
	return out
}

// toValue never fails: a value without a kind becomes NULL only after Table has refused the item that holds it.
func toValue(v proa.Value) types.AttributeValue {
	switch v.Kind {
	case proa.KindS:
		return &types.AttributeValueMemberS{Value: v.Str}
	case proa.KindN:
		return &types.AttributeValueMemberN{Value: v.Str}
	case proa.KindB:
		return &types.AttributeValueMemberB{Value: []byte(v.Str)}
	case proa.KindBOOL:
		return &types.AttributeValueMemberBOOL{Value: v.Bool}
	case proa.KindL:
		list := make([]types.AttributeValue, len(v.List))
		for i, e := range v.List {
			list[i] = toValue(e)
		}
		return &types.AttributeValueMemberL{Value: list}
	case proa.KindM:
		return &types.AttributeValueMemberM{Value: toItem(v.Map)}
	case proa.KindSS:
		return &types.AttributeValueMemberSS{Value: v.Set}
	case proa.KindNS:
		return &types.AttributeValueMemberNS{Value: v.Set}
	case proa.KindBS:
		set := make([][]byte, len(v.Set))
		for i, e := range v.Set {
			set[i] = []byte(e)
		}
		return &types.AttributeValueMemberBS{Value: set}
	}
	return &types.AttributeValueMemberNULL{Value: true}
}

// fromItem returns nil for nil: nothing is stored.
func fromItem(item map[string]types.AttributeValue) (proa.Item, error) {
	if item == nil {
		return nil, nil
	}
	out := make(proa.Item, len(item))
	for name, v := range item {
		got, err := fromValue(v)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		out[name] = got
	}
	return out, nil
}

func fromValue(v types.AttributeValue) (proa.Value, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return proa.String(v.Value), nil
	case *types.AttributeValueMemberN:
		return proa.Number(v.Value)
	case *types.AttributeValueMemberB:
		return proa.Binary(v.Value), nil
	case *types.AttributeValueMemberBOOL:
		return proa.Bool(v.Value), nil
	case *types.AttributeValueMemberNULL:
		return proa.Null(), nil
	case *types.AttributeValueMemberL:
		list := make([]proa.Value, len(v.Value))
		for i, e := range v.Value {
			got, err := fromValue(e)
			if err != nil {
				return proa.Value{}, err
			}
			list[i] = got
		}
		return proa.List(list...), nil
	case *types.AttributeValueMemberM:
		m, err := fromItem(v.Value)
		if m == nil {
			m = proa.Item{}
		}
		return proa.Map(m), err
	case *types.AttributeValueMemberSS:
		return proa.SetOf(proa.KindSS, v.Value), nil
	case *types.AttributeValueMemberNS:
		return numberSet(v.Value)
	case *types.AttributeValueMemberBS:
		return binarySet(v.Value), nil
	}
	return proa.Value{}, fmt.Errorf("attribute value of type %T: %w", v, proa.ErrInvalid)
}

func numberSet(members []string) (proa.Value, error) {
	set := make([]string, len(members))
	for i, m := range members {
		n, err := proa.CanonicalNumber(m)
		if err != nil {
			return proa.Value{}, err
		}
		set[i] = n
	}
	return proa.SetOf(proa.KindNS, set), nil
}

func binarySet(members [][]byte) proa.Value {
	set := make([]string, len(members))
	for i, m := range members {
		set[i] = string(m)
	}
	return proa.SetOf(proa.KindBS, set)
}

// fromStream turns a stream's values into the table's: the SDK has one set of types for each service.
func fromStream(item map[string]streamtypes.AttributeValue) (proa.Item, error) {
	if item == nil {
		return nil, nil
	}
	out := make(proa.Item, len(item))
	for name, v := range item {
		got, err := fromStreamValue(v)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		out[name] = got
	}
	return out, nil
}

func fromStreamValue(v streamtypes.AttributeValue) (proa.Value, error) {
	switch v := v.(type) {
	case *streamtypes.AttributeValueMemberS:
		return proa.String(v.Value), nil
	case *streamtypes.AttributeValueMemberN:
		return proa.Number(v.Value)
	case *streamtypes.AttributeValueMemberB:
		return proa.Binary(v.Value), nil
	case *streamtypes.AttributeValueMemberBOOL:
		return proa.Bool(v.Value), nil
	case *streamtypes.AttributeValueMemberNULL:
		return proa.Null(), nil
	case *streamtypes.AttributeValueMemberL:
		list := make([]proa.Value, len(v.Value))
		for i, e := range v.Value {
			got, err := fromStreamValue(e)
			if err != nil {
				return proa.Value{}, err
			}
			list[i] = got
		}
		return proa.List(list...), nil
	case *streamtypes.AttributeValueMemberM:
		m, err := fromStream(v.Value)
		if m == nil {
			m = proa.Item{}
		}
		return proa.Map(m), err
	case *streamtypes.AttributeValueMemberSS:
		return proa.SetOf(proa.KindSS, v.Value), nil
	case *streamtypes.AttributeValueMemberNS:
		return numberSet(v.Value)
	case *streamtypes.AttributeValueMemberBS:
		return binarySet(v.Value), nil
	}
	return proa.Value{}, fmt.Errorf("attribute value of type %T: %w", v, proa.ErrInvalid)
}
