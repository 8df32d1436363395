package journey

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// vendors are the official SDKs' clients, set up from `proa env` as any tool would be.
type vendors struct {
	dynamo *dynamodb.Client
	s3     *s3.Client
	cosmos *azcosmos.ContainerClient
	blob   *azblob.Client
}

func (s *system) vendors() vendors {
	s.T.Helper()
	var a, z map[string]string
	s.JSON(&a, "env", "aws")
	s.JSON(&z, "env", "azure")
	cfg := aws.Config{
		Region:       a["AWS_REGION"],
		BaseEndpoint: aws.String(a["AWS_ENDPOINT_URL"]),
		Credentials:  credentials.NewStaticCredentialsProvider(a["AWS_ACCESS_KEY_ID"], a["AWS_SECRET_ACCESS_KEY"], ""),
	}
	key, err := azcosmos.NewKeyCredential(z["COSMOS_KEY"])
	if err != nil {
		s.T.Fatal(err)
	}
	account, err := azcosmos.NewClientWithKey(z["COSMOS_ENDPOINT"], key, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	container, err := account.NewContainer("proa", "orders")
	if err != nil {
		s.T.Fatal(err)
	}
	blob, err := azblob.NewClientFromConnectionString(z["AZURE_STORAGE_CONNECTION_STRING"], nil)
	if err != nil {
		s.T.Fatal(err)
	}
	return vendors{dynamo: dynamodb.NewFromConfig(cfg), s3: s3.NewFromConfig(cfg), cosmos: container, blob: blob}
}

// dynamoGet returns the item's attributes, nil when there is none or a tombstone image.
func (v vendors) dynamoGet(ctx context.Context, id string) (map[string]types.AttributeValue, error) {
	out, err := v.dynamo.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String("orders"), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
	})
	if err != nil {
		return nil, err
	}
	if e, ok := out.Item["_proa"].(*types.AttributeValueMemberM); ok {
		if d, ok := e.Value["d"].(*types.AttributeValueMemberBOOL); ok && d.Value {
			return nil, nil
		}
	}
	return out.Item, nil
}

// cosmosGet returns the document, nil when there is none or a tombstone image.
func (v vendors) cosmosGet(ctx context.Context, id string) (map[string]any, error) {
	resp, err := v.cosmos.ReadItem(ctx, azcosmos.NewPartitionKeyString(id), id, nil)
	var status *azcore.ResponseError
	if errors.As(err, &status) && status.StatusCode == 404 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := json.Unmarshal(resp.Value, &doc); err != nil {
		return nil, err
	}
	if e, ok := doc["_proa"].(map[string]any); ok && e["d"] == true {
		return nil, nil
	}
	return doc, nil
}

func (v vendors) dynamoUpdate(t testing.TB, id, expression string, values map[string]types.AttributeValue) {
	t.Helper()
	_, err := v.dynamo.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 aws.String("orders"),
		Key:                       map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
		UpdateExpression:          aws.String(expression),
		ExpressionAttributeValues: values,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (v vendors) dynamoDelete(t testing.TB, id string) {
	t.Helper()
	_, err := v.dynamo.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("orders"),
		Key:       map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cosmosUpsert reports whether there was no such item before.
func (v vendors) cosmosUpsert(t testing.TB, doc map[string]any) (created bool) {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := v.cosmos.UpsertItem(t.Context(), azcosmos.NewPartitionKeyString(doc["id"].(string)), body, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.RawResponse.StatusCode == http.StatusCreated
}

func (v vendors) cosmosPatch(t testing.TB, id, path string, value any) {
	t.Helper()
	var ops azcosmos.PatchOperations
	ops.AppendSet(path, value)
	if _, err := v.cosmos.PatchItem(t.Context(), azcosmos.NewPartitionKeyString(id), id, ops, nil); err != nil {
		t.Fatal(err)
	}
}

func (v vendors) cosmosDelete(t testing.TB, id string) {
	t.Helper()
	if _, err := v.cosmos.DeleteItem(t.Context(), azcosmos.NewPartitionKeyString(id), id, nil); err != nil {
		t.Fatal(err)
	}
}
