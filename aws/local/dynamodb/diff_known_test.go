package dynamodb_test

// knownDifferences explains every difference between DynamoDB Local 2.6.1 and us. Local is AWS's
// own emulator, but in these points not the service; where it differs from the service, we follow
// the service.
var knownDifferences = []difference{
	// Local's own words for what the service words differently.
	{
		"", "Cannot do operations on a non-existent table", "Requested resource not found",
		"Local's own message",
	},
	{
		"", "One of the required keys was not given a value|TransactionCanceledException",
		"Missing the key|provided key element does not " +
			"match|TransactionCanceledException.*ValidationError",
		"the service names the key, and does not on reads",
	},
	{
		"", "Type mismatch for key$", "Type mismatch for key id expected: S actual: N|provided key " +
			"element does not match",
		"the service names the key and the types",
	},
	{
		"", "Type mismatch for Index Key$", "Type mismatch for Index Key g Expected",
		"the service names the key, the types and the index",
	},
	{
		"", "Consistent read cannot be true", "Consistent reads are not supported",
		"Local's own message",
	},
	{
		"^UpdateItem.*\"gsi\".*SET g", "200", "Type mismatch for Index Key",
		"Local lets an update break an index key's type",
	},
	{"^Scan.*\"keys\"", "\"Count\":5", "\"Count\":4", "because of the update above"},
	{
		"", "number of conditions on the keys is invalid", "provided key element does not match",
		"Local's own message",
	},
	{
		"", "cannot be converted into a number", "cannot be converted to a numeric value",
		"the service names the text",
	},
	{
		"", "only supports precision up to 38 digits", "more than 38 significant digits",
		"Local's own message",
	},
	{
		"", "Invalid attribute type name found", "Invalid attribute type name found",
		"Local lists the types in another order",
	},
	{
		"", "Input collection (\\[a, a\\] contains|of type BS)", "Input collection \\[.*contains " +
			"duplicates\\.",
		"the service ends with a stop and names binary members",
	},
	{
		"", "primary key values must be under", "exceeded the (maximum )?size limit",
		"Local's own message",
	},
	{
		"", "Return values set to invalid value", "ReturnValues can only be|at 'returnValues'",
		"Local's own message",
	},
	{"", "Query condition missed key schema element$", "Query condition missed key schema element: " +
		"[hrg]$", "the service names the key"},
	{
		"", "Exclusive Start Key must have same size", "provided starting key is invalid",
		"Local's own message",
	},
	{
		"", "does not match the range key predicate", "outside query boundaries",
		"the service's message for a changed key condition",
	},
	{"", "Select must be", "at 'select' failed", "Local's own message"},
	{"^Scan", "segment", "[sS]egment", "Local's own messages, some of them wrong"},
	{
		"^Batch", "must have some requests set|cannot have a null or no requests|list of keys in " +
			"RequestItems|cannot be null or empty",
		"at 'requestItems", "the service refuses by its input model",
	},
	{
		"^BatchWriteItem", "more than one datatypes", "AttributeValue is empty",
		"Local confuses none with both",
	},
	{"^Transact", "Member must|Value", "at 'transactItems", "the service refuses by its input model"},
	{
		"^TransactWriteItems.*ConditionCheck", "TransactionCanceled", "TransactionCanceled",
		"Local ends a reason with a stop where it has an item",
	},
	{
		"^TransactWriteItems", "IdempotentParameterMismatch", "IdempotentParameterMismatch",
		"Local has no message",
	},
	{
		"^(Create|Update|Delete)Table|^ListTables|TimeToLive", "400", "400",
		"Local's own messages for table operations",
	},
	{
		"", "UnknownOperationException: An unknown", "UnknownOperationException: $",
		"the service has no message",
	},
	{
		"^PutItem {}|^PutItem {\"TableName\":\"tab\"}$", "ValidationException", "Member must not be null",
		"Local's own message",
	},

	// Local accepts or breaks on what the service refuses.
	{
		"^PutItem", "500 InternalFailure", "400 SerializationException",
		"Local breaks on what is not the protocol",
	},
	{
		"^PutItem", "200 {}|Invalid table/index name", "SerializationException: (NUMBER|STRING)_VALUE",
		"Local converts JSON types",
	},
	{
		"^CreateTable.*ProvisionedThroughput", "200", "Neither ReadCapacityUnits nor",
		"Local takes both ways of billing at once",
	},
	{"^ListTables", "ct1", "hr0", "because Local has made the table ct1 above"},
	{
		"^TransactWriteItems.*\"Update\"", "200 {}", "updateExpression' failed",
		"the service's model requires the expression",
	},
	{"^DescribeContinuousBackups", "UnknownOperation", "200", "Local has no backups"},
	{"^Query.*KeyConditions", "200", "legacy parameters", "we do not take the parameters from " +
		"before expressions"},

	// Local's arithmetic of consumed capacity.
	{
		"^Query.*none", "\"CapacityUnits\":0,", "\"CapacityUnits\":(0.5|1),",
		"the service charges a query that finds nothing its minimum",
	},
	{
		"^BatchGetItem", "\"CapacityUnits\":0.5", "\"CapacityUnits\":1,",
		"the service charges for keys without an item too",
	},
	{
		"^BatchWriteItem", "\"CapacityUnits\":3", "\"CapacityUnits\":2",
		"two writes of up to 1 KB are two units",
	},
	{
		"^TransactWriteItems", "CapacityUnits\":4", "CapacityUnits\":2",
		"a transactional write of up to 1 KB is two units",
	},

	// Local returns whole top-level attributes.
	{"^UpdateItem.*UPDATED_", "\"m\":", "200", "the service returns only the paths that were updated"},
	{
		"^TransactWriteItems.*SET q.z.y", "ValidationException", "TransactionCanceledException",
		"the service cancels with a reason once an item is involved",
	},
}
