package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// pageSize is what the vendor lists at once; maxPages bounds a listing that never ends.
const (
	pageSize = "500"
	maxPages = 100
)

// stage is the one that answers without a path of its own.
const stage = "$default"

// api brings the HTTP API to the Spec: an earlier run may have ended between any two calls.
func (p *provisioner) api(ctx context.Context) error {
	client := apigatewayv2.NewFromConfig(p.cfg)
	id, err := p.findAPI(ctx, client)
	if err == nil && id == "" {
		id, err = p.createAPI(ctx, client)
	}
	if err != nil {
		return fmt.Errorf("create API: %w", err)
	}
	integration, err := p.integration(ctx, client, id)
	if err != nil {
		return fmt.Errorf("integrate API %s: %w", id, err)
	}
	if err := p.routes(ctx, client, id, "integrations/"+integration); err != nil {
		return fmt.Errorf("route API %s: %w", id, err)
	}
	if err := p.stage(ctx, client, id); err != nil {
		return fmt.Errorf("create stage of API %s: %w", id, err)
	}
	if err := p.permission(ctx, id); err != nil {
		return fmt.Errorf("let API %s call the function: %w", id, err)
	}
	if p.spec.Alarm == "" {
		return nil
	}
	return p.alarm(ctx, id)
}

// pages asks for one page after another until ask returns no token.
func pages(ask func(token *string) (next *string, err error)) error {
	var token *string
	for range maxPages {
		next, err := ask(token)
		if err != nil || aws.ToString(next) == "" {
			return err
		}
		token = next
	}
	return fmt.Errorf("the listing does not end after %d pages", maxPages)
}

func (p *provisioner) findAPI(ctx context.Context, client *apigatewayv2.Client) (id string, err error) {
	err = pages(func(token *string) (*string, error) {
		out, err := client.GetApis(ctx, &apigatewayv2.GetApisInput{
			MaxResults: aws.String(pageSize), NextToken: token,
		})
		if err != nil {
			return nil, err
		}
		for _, a := range out.Items {
			if aws.ToString(a.Name) == p.spec.Function {
				id = aws.ToString(a.ApiId)
			}
		}
		return out.NextToken, nil
	})
	return id, err
}

func (p *provisioner) createAPI(ctx context.Context, client *apigatewayv2.Client) (string, error) {
	created, err := client.CreateApi(ctx, &apigatewayv2.CreateApiInput{
		Name: &p.spec.Function, ProtocolType: apitypes.ProtocolTypeHttp,
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(created.ApiId), nil
}

// integration finds or makes the API's way to the function.
func (p *provisioner) integration(
	ctx context.Context, client *apigatewayv2.Client, api string,
) (id string, err error) {
	uri := p.functionARN()
	err = pages(func(token *string) (*string, error) {
		out, err := client.GetIntegrations(ctx, &apigatewayv2.GetIntegrationsInput{
			ApiId: &api, MaxResults: aws.String(pageSize), NextToken: token,
		})
		if err != nil {
			return nil, err
		}
		for _, i := range out.Items {
			if aws.ToString(i.IntegrationUri) == uri {
				id = aws.ToString(i.IntegrationId)
			}
		}
		return out.NextToken, nil
	})
	if err != nil || id != "" {
		return id, err
	}
	created, err := client.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId:                &api,
		IntegrationType:      apitypes.IntegrationTypeAwsProxy,
		IntegrationUri:       &uri,
		PayloadFormatVersion: aws.String("2.0"),
		TimeoutInMillis:      aws.Int32(15000),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(created.IntegrationId), nil
}

// routes makes the routes that are missing and turns those that lead elsewhere. Routes that the Spec
// does not name stay: they may be somebody else's.
func (p *provisioner) routes(ctx context.Context, client *apigatewayv2.Client, api, target string) error {
	have := map[string]apitypes.Route{}
	err := pages(func(token *string) (*string, error) {
		out, err := client.GetRoutes(ctx, &apigatewayv2.GetRoutesInput{
			ApiId: &api, MaxResults: aws.String(pageSize), NextToken: token,
		})
		if err != nil {
			return nil, err
		}
		for _, r := range out.Items {
			have[aws.ToString(r.RouteKey)] = r
		}
		return out.NextToken, nil
	})
	if err != nil {
		return err
	}
	for _, key := range p.spec.Routes {
		r, ok := have[key]
		switch {
		case !ok:
			_, err = client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
				ApiId: &api, RouteKey: &key, Target: &target,
			})
		case aws.ToString(r.Target) != target:
			_, err = client.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{
				ApiId: &api, RouteId: r.RouteId, Target: &target,
			})
		}
		if err != nil {
			return fmt.Errorf("route %s: %w", key, err)
		}
	}
	return nil
}

func (p *provisioner) stage(ctx context.Context, client *apigatewayv2.Client, api string) error {
	_, err := client.GetStage(ctx, &apigatewayv2.GetStageInput{ApiId: &api, StageName: aws.String(stage)})
	var missing *apitypes.NotFoundException
	if !errors.As(err, &missing) {
		return err
	}
	_, err = client.CreateStage(ctx, &apigatewayv2.CreateStageInput{
		ApiId: &api, StageName: aws.String(stage), AutoDeploy: aws.Bool(true),
	})
	return err
}

// permission lets the gateway invoke the function; a statement of that name is of an earlier run.
func (p *provisioner) permission(ctx context.Context, api string) error {
	_, err := lambda.NewFromConfig(p.cfg).AddPermission(ctx, &lambda.AddPermissionInput{
		FunctionName: &p.spec.Function,
		StatementId:  aws.String("gateway-" + api),
		Action:       aws.String("lambda:InvokeFunction"),
		Principal:    aws.String("apigateway.amazonaws.com"),
	})
	var exists *lambdatypes.ResourceConflictException
	if errors.As(err, &exists) {
		return nil
	}
	return err
}
