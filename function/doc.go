// Package function is what a function's author imports: Serve runs an ordinary http.Handler unchanged as a Lambda, as an Azure
// Functions custom handler and as a plain server; Table and Bucket give it the data of the region in which it runs.
//
//	func main() {
//		if err := function.Serve(handler); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// Table stamps the version envelope by which proa resolves concurrent writes of the two regions. Code that uses the vendors' SDKs
// directly is just as welcome: its writes are recognised as foreign ones.
//
// # Environment
//
// Region: PROA_REGION (aws or azure) where set, else what the platform's own variables tell.
// On AWS the SDK's own variables apply (AWS_REGION, AWS_ACCESS_KEY_ID, …, AWS_ENDPOINT_URL).
// On Azure: COSMOS_ENDPOINT, COSMOS_KEY (without it the managed identity is used), COSMOS_DATABASE (default "proa"),
// AZURE_STORAGE_CONNECTION_STRING (or AZURE_STORAGE_ENDPOINT with the managed identity).
// Announcements of acknowledged writes: PROA_ANNOUNCE_URL (one URL, or every node's with commas between) and PROA_ANNOUNCE_TOKEN; see
// proa.Announcement.
// Tables with fencing: PROA_FENCED_TABLES (names with commas between) and PROA_LEASE_URL (every node's /v1/lease), with the same token.
package function
