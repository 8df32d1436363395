// Package telemetry counts what crosses each arrow of the picture, and follows sampled requests along them.
//
// A process has one Recorder: lock-free counters and histograms per box and arrow, and OpenTelemetry spans that are named after
// arrows. An Exporter sends both to the nodes; a node's Collector adds up what all processes say. Everything is bounded: the
// cells are the picture's, spans are sampled by a token bucket, queues drop and count what they drop.
package telemetry

import "slices"

// Box is one of the picture's eighteen boxes.
type Box = string

// The boxes, by lane.
const (
	Request     Box = "request"
	Routing     Box = "routing"
	Health      Box = "health"
	Primary     Box = "primary"
	Failover    Box = "failover"
	APIGateway  Box = "apigateway"
	Lambda      Box = "lambda"
	DynamoDB    Box = "dynamodb"
	S3          Box = "s3"
	CloudWatch  Box = "cloudwatch"
	APIM        Box = "apim"
	Functions   Box = "functions"
	Cosmos      Box = "cosmos"
	Blob        Box = "blob"
	Monitor     Box = "monitor"
	Events      Box = "events"
	Replication Box = "replication"
	Conflicts   Box = "conflicts"
)

// Arrow is one of the picture's twenty arrows: "from>to".
type Arrow = string

// The arrows.
const (
	RequestRouting    Arrow = "request>routing"
	RoutingHealth     Arrow = "routing>health"
	HealthPrimary     Arrow = "health>primary"
	HealthFailover    Arrow = "health>failover"
	PrimaryGateway    Arrow = "primary>apigateway"
	FailoverGateway   Arrow = "failover>apim"
	GatewayLambda     Arrow = "apigateway>lambda"
	GatewayFunctions  Arrow = "apim>functions"
	LambdaTable       Arrow = "lambda>dynamodb"
	FunctionsTable    Arrow = "functions>cosmos"
	LambdaBucket      Arrow = "lambda>s3"
	FunctionsBucket   Arrow = "functions>blob"
	CloudWatchHealth  Arrow = "cloudwatch>health"
	MonitorHealth     Arrow = "monitor>health"
	EventsReplication Arrow = "events>replication"
	ReplicationJudged Arrow = "replication>conflicts"
	ReplicationAWS    Arrow = "replication>dynamodb"
	ReplicationAzure  Arrow = "replication>cosmos"
	ReplicationS3     Arrow = "replication>s3"
	ReplicationBlob   Arrow = "replication>blob"
)

// Boxes lists all boxes.
func Boxes() []Box {
	return []Box{
		Request, Routing, Health, Primary, Failover, APIGateway, Lambda, DynamoDB, S3, CloudWatch,
		APIM, Functions, Cosmos, Blob, Monitor, Events, Replication, Conflicts,
	}
}

// Arrows lists all arrows.
func Arrows() []Arrow {
	return []Arrow{
		RequestRouting, RoutingHealth, HealthPrimary, HealthFailover, PrimaryGateway, FailoverGateway,
		GatewayLambda, GatewayFunctions, LambdaTable, FunctionsTable, LambdaBucket, FunctionsBucket,
		CloudWatchHealth, MonitorHealth, EventsReplication, ReplicationJudged, ReplicationAWS, ReplicationAzure,
		ReplicationS3, ReplicationBlob,
	}
}

// Cells names everything that is counted: boxes and arrows.
func Cells() []string { return slices.Concat(Boxes(), Arrows()) }
