package aws

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Swap compares and sets one row; see cloud.Table.
//
// Nothing seen: PutItem where no item of that key exists. Otherwise UpdateItem of the attributes that differ, on condition that
// the version and each of those attributes still are as seen, so that what others keep beside them is never touched. Past the limits of an
// expression the conditions cover the version and the first 100 attributes that differ, in byte order; past 200 attributes PutItem
// replaces the whole item. Then, as always, replaced tells what the write really took the place of.
func (t *Table) Swap(
	ctx context.Context, seen cloud.Row, next proa.Image,
) (now cloud.Row, replaced *proa.Image, err error) {
	if err := t.checkNext(seen.Key, next); err != nil {
		return cloud.Row{}, nil, t.fail("put item", seen.Key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	changed := difference(seen.Image.Item, next.Item)
	if !seen.Image.Exists() || len(changed) > maxAssignments {
		return t.put(ctx, seen, next)
	}
	return t.update(ctx, seen, next, changed)
}

// checkNext refuses what must not reach the SDK: an image that is none, another key, or values without a kind.
func (t *Table) checkNext(key proa.Key, next proa.Image) error {
	if !next.Exists() {
		return fmt.Errorf("the next image must exist: %w", proa.ErrInvalid)
	}
	got, err := t.schema.KeyOf(next.Item)
	if err != nil {
		return err
	}
	if got.ID() != key.ID() {
		return fmt.Errorf("the next image's key is %s: %w", got, proa.ErrInvalid)
	}
	for name, v := range next.Item {
		if err := checkValue(v); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func checkValue(v proa.Value) error {
	switch v.Kind {
	case proa.KindNone:
		return fmt.Errorf("value without a type: %w", proa.ErrInvalid)
	case proa.KindL:
		for _, e := range v.List {
			if err := checkValue(e); err != nil {
				return err
			}
		}
	case proa.KindM:
		for _, e := range v.Map {
			if err := checkValue(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table) put(ctx context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	var e expression
	if seen.Image.Exists() {
		e.observed(t.schema, seen.Image, difference(seen.Image.Item, next.Item))
	} else {
		e.terms = append(e.terms, "attribute_not_exists("+e.name(t.schema.HashName)+")")
	}
	out, err := t.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &t.schema.Table,
		Item:                                toItem(next.Stored()),
		ConditionExpression:                 sdk.String(e.condition()),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        types.ReturnValueAllOld,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		row, err := t.lost("put item", seen.Key, err)
		return row, nil, err
	}
	was, err := t.row(seen.Key, out.Attributes)
	if err != nil {
		return cloud.Row{}, nil, err
	}
	return cloud.Row{Key: seen.Key, Image: next}, &was.Image, nil
}

func (t *Table) update(
	ctx context.Context, seen cloud.Row, next proa.Image, changed proa.Item,
) (cloud.Row, *proa.Image, error) {
	var e expression
	e.observed(t.schema, seen.Image, changed)
	e.assign(changed, next.Item)
	switch {
	case next.Envelope != nil:
		e.sets = append(e.sets, e.name(proa.EnvelopeAttr)+"="+e.value(next.Envelope.Value()))
	case seen.Image.Envelope != nil || seen.Image.Malformed != "":
		e.removes = append(e.removes, e.name(proa.EnvelopeAttr))
	}
	in := &dynamodb.UpdateItemInput{
		TableName:                           &t.schema.Table,
		Key:                                 toItem(t.schema.Attributes(seen.Key)),
		ConditionExpression:                 sdk.String(e.condition()),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        types.ReturnValueAllOld,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if update := e.update(); update != "" {
		in.UpdateExpression = &update
	}
	out, err := t.db.UpdateItem(ctx, in)
	if err != nil {
		row, err := t.lost("update item", seen.Key, err)
		return row, nil, err
	}
	was, err := t.row(seen.Key, out.Attributes)
	if err != nil {
		return cloud.Row{}, nil, err
	}
	now := cloud.Row{Key: seen.Key, Image: patched(was.Image, next, changed)}
	return now, &was.Image, nil
}

// patched is the image after the update: what was there, with the changed attributes and the envelope of next.
func patched(was, next proa.Image, changed proa.Item) proa.Image {
	item := make(proa.Item, len(next.Item))
	for name, v := range was.Item {
		if _, ok := changed[name]; !ok {
			item[name] = v
		}
	}
	for name := range changed {
		if v, ok := next.Item[name]; ok {
			item[name] = v
		}
	}
	return proa.Image{Item: item, Envelope: next.Envelope}
}
