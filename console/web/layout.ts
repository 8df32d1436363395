// The picture's geometry: hand-laid, once for wide screens and once for narrow ones. Everything is in the SVG's own units.
export type Place = { x: number; y: number };
export type Layout = {
  width: number; height: number; boxW: number; boxH: number;
  lanes: { id: string; name: string; x: number; y: number; w: number; h: number }[];
  boxes: Record<string, Place>;
  arrows: Record<string, string>; // SVG paths, made of straight lines
  notes: Record<string, Place & { anchor?: string }>;
};

export const names: Record<string, string> = {
  request: "User requests", routing: "DNS routing", health: "Health checks", primary: "Route to primary", failover: "Fail over",
  apigateway: "API Gateway", lambda: "Lambda", dynamodb: "DynamoDB", s3: "S3", cloudwatch: "CloudWatch",
  apim: "API Management", functions: "Functions", cosmos: "Cosmos DB", blob: "Blob Storage", monitor: "Azure Monitor",
  events: "Event bus", replication: "Replication", conflicts: "Conflicts",
};

export const what: Record<string, string> = {
  request: "Clients that ask the name servers where to go, and then go there.",
  routing: "The authoritative name servers. They answer from the last plan, whatever else is dead.",
  health: "Probes from every vantage, the clouds' own monitors and replication lag; a majority of votes judges a region.",
  primary: "Answers that lead to AWS.",
  failover: "Answers that lead to Azure.",
  apigateway: "The HTTP API that users of AWS reach.",
  lambda: "The function, as it runs on AWS.",
  dynamodb: "The tables on AWS. Everything they answer is counted, replication included.",
  s3: "The objects on AWS.",
  cloudwatch: "AWS's own opinion of its health, asked through its API.",
  apim: "The gateway that users of Azure reach.",
  functions: "The same function, as it runs on Azure.",
  cosmos: "The containers on Azure. Everything they answer is counted, replication included.",
  blob: "The objects on Azure.",
  monitor: "Azure's own opinion of its health, asked through its API.",
  events: "Changes read from both regions' feeds, in a durable log.",
  replication: "Compare-and-set of each key's winner onto the side that lacks it.",
  conflicts: "Writes to one key from both regions that did not know of each other. The loser is kept whole.",
};

export const regionOf: Record<string, string> = {
  apigateway: "aws", lambda: "aws", dynamodb: "aws", s3: "aws", cloudwatch: "aws",
  apim: "azure", functions: "azure", cosmos: "azure", blob: "azure", monitor: "azure",
};

export const arrowNames: Record<string, string> = {
  "request>routing": "DNS queries", "routing>health": "which region is healthy?", "health>primary": "answers to AWS",
  "health>failover": "answers to Azure", "primary>apigateway": "forward", "failover>apim": "forward",
  "apigateway>lambda": "invoke", "apim>functions": "invoke", "lambda>dynamodb": "read and write", "functions>cosmos": "read and write",
  "lambda>s3": "store", "functions>blob": "store", "cloudwatch>health": "health", "monitor>health": "health",
  "events>replication": "changes", "replication>conflicts": "conflicts", "replication>dynamodb": "items", "replication>cosmos": "items",
  "replication>s3": "objects", "replication>blob": "objects",
};

/** crosses says of each arrow what one crossing of it is. */
export const crosses: Record<string, string> = {
  "request>routing": "Each query that a resolver or a client sends to the name servers.",
  "routing>health": "Each answer, which is made of what the plan in force says is healthy.",
  "health>primary": "Answers that name AWS's gateway, by the plan in force.",
  "health>failover": "Answers that name Azure's gateway, by the plan in force.",
  "primary>apigateway": "Users' requests at AWS's gateway, and those that clients report unanswered.",
  "failover>apim": "Users' requests at Azure's gateway, and those that clients report unanswered.",
  "apigateway>lambda": "Requests that the gateway hands to the function.",
  "apim>functions": "Requests that the gateway hands to the function.",
  "lambda>dynamodb": "Reads and writes of items by the function.",
  "functions>cosmos": "Reads and writes of items by the function.",
  "lambda>s3": "Reads and writes of objects by the function.",
  "functions>blob": "Reads and writes of objects by the function.",
  "cloudwatch>health": "Questions to CloudWatch's alarms, and their answers.",
  "monitor>health": "Questions to Azure Monitor's alerts, and their answers.",
  "events>replication": "Changes read from both regions' feeds and buckets' notices, echoes included.",
  "replication>conflicts": "Pairs of writes that did not know of each other, each decided once.",
  "replication>dynamodb": "Compare-and-set of each item's winner, as Azure wrote it, onto AWS.",
  "replication>cosmos": "Compare-and-set of each item's winner, as AWS wrote it, onto Azure.",
  "replication>s3": "Objects put to and deleted from AWS, as Azure has them.",
  "replication>blob": "Objects put to and deleted from Azure, as AWS has them.",
};

export const wide: Layout = {
  width: 1180, height: 648, boxW: 160, boxH: 64,
  lanes: [
    { id: "traffic", name: "Traffic manager", x: 12, y: 12, w: 392, h: 624 },
    { id: "aws", name: "AWS", x: 424, y: 12, w: 744, h: 204 },
    { id: "sync", name: "Data sync", x: 424, y: 232, w: 744, h: 176 },
    { id: "azure", name: "Azure", x: 424, y: 424, w: 744, h: 212 },
  ],
  boxes: {
    request: { x: 32, y: 60 }, routing: { x: 32, y: 174 }, health: { x: 32, y: 288 },
    primary: { x: 236, y: 132 }, failover: { x: 236, y: 452 },
    cloudwatch: { x: 448, y: 44 }, apigateway: { x: 448, y: 132 }, lambda: { x: 718, y: 132 }, dynamodb: { x: 992, y: 132 }, s3: { x: 992, y: 44 },
    events: { x: 448, y: 288 }, replication: { x: 718, y: 288 }, conflicts: { x: 992, y: 288 },
    apim: { x: 448, y: 452 }, functions: { x: 718, y: 452 }, cosmos: { x: 992, y: 452 }, blob: { x: 992, y: 544 }, monitor: { x: 448, y: 544 },
  },
  arrows: {
    "request>routing": "M112 124 V174", "routing>health": "M112 238 V288",
    "health>primary": "M192 320 H222 V164 H236", "health>failover": "M192 320 H222 V484 H236",
    "cloudwatch>health": "M448 76 H207 V304 H192", "monitor>health": "M448 576 H207 V336 H192",
    "primary>apigateway": "M396 164 H448", "failover>apim": "M396 484 H448",
    "apigateway>lambda": "M608 164 H718", "apim>functions": "M608 484 H718",
    "lambda>dynamodb": "M878 164 H992", "functions>cosmos": "M878 484 H992",
    "lambda>s3": "M798 132 V76 H992", "functions>blob": "M798 516 V576 H992",
    "events>replication": "M608 320 H718", "replication>conflicts": "M878 320 H992",
    "replication>dynamodb": "M798 288 V244 H1072 V196", "replication>cosmos": "M798 352 V396 H1072 V452",
    "replication>s3": "M838 288 V264 H1161 V76 H1152", "replication>blob": "M838 352 V376 H1161 V576 H1152",
  },
  notes: {
    "replication>dynamodb": { x: 812, y: 258 }, "replication>s3": { x: 850, y: 280 },
    "replication>cosmos": { x: 812, y: 391 }, "replication>blob": { x: 850, y: 370 },
  },
};

export const narrow: Layout = {
  width: 352, height: 690, boxW: 100, boxH: 56,
  lanes: [
    { id: "traffic", name: "Traffic manager", x: 0, y: 0, w: 352, h: 196 },
    { id: "aws", name: "AWS", x: 0, y: 204, w: 352, h: 172 },
    { id: "sync", name: "Data sync", x: 0, y: 384, w: 352, h: 112 },
    { id: "azure", name: "Azure", x: 0, y: 504, w: 352, h: 184 },
  ],
  boxes: {
    request: { x: 14, y: 28 }, routing: { x: 126, y: 28 }, health: { x: 238, y: 28 }, primary: { x: 14, y: 126 }, failover: { x: 238, y: 126 },
    apigateway: { x: 14, y: 230 }, lambda: { x: 126, y: 230 }, dynamodb: { x: 238, y: 230 }, cloudwatch: { x: 14, y: 306 }, s3: { x: 126, y: 306 },
    events: { x: 14, y: 416 }, replication: { x: 126, y: 416 }, conflicts: { x: 238, y: 416 },
    apim: { x: 14, y: 536 }, functions: { x: 126, y: 536 }, cosmos: { x: 238, y: 536 }, monitor: { x: 14, y: 616 }, blob: { x: 126, y: 616 },
  },
  arrows: {
    "request>routing": "M114 56 H126", "routing>health": "M226 56 H238",
    "health>primary": "M288 84 V105 H64 V126", "health>failover": "M300 84 V126",
    "cloudwatch>health": "M14 334 H8 V14 H276 V28", "monitor>health": "M14 644 H4 V9 H300 V28",
    "primary>apigateway": "M64 182 V230", "failover>apim": "M338 154 H345 V524 H64 V536",
    "apigateway>lambda": "M114 258 H126", "apim>functions": "M114 564 H126", "lambda>dynamodb": "M226 258 H238", "functions>cosmos": "M226 564 H238",
    "lambda>s3": "M176 286 V306", "functions>blob": "M176 592 V616",
    "events>replication": "M114 444 H126", "replication>conflicts": "M226 444 H238",
    "replication>dynamodb": "M190 416 V394 H288 V286", "replication>cosmos": "M190 472 V511 H288 V536",
    "replication>s3": "M150 416 V362", "replication>blob": "M150 472 V518 H232 V644 H226",
  },
  notes: { "replication>dynamodb": { x: 196, y: 409 }, "replication>cosmos": { x: 196, y: 489 } },
};
