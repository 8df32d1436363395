// Package aws is the driver of the AWS region: DynamoDB, DynamoDB Streams, S3, Lambda and CloudWatch through the official SDK,
// behind the interfaces of package cloud.
//
// It never knows what it faces: AWS itself, the local cloud of package aws/local, or any other endpoint that speaks the protocols.
// Every call has a time-out, every retry a bound, and the vendor's error codes become the sentinels of package proa here and
// nowhere else.
package aws
