// Package orders is proa's sample application: orders with an attachment each, over HTTP. It is an ordinary net/http program that
// runs unchanged on AWS Lambda, Azure Functions and as a plain server.
//
//	POST   /orders                    create; the body is a JSON object, its id is generated where it gives none
//	GET    /orders?limit=&cursor=     list, in no particular order
//	GET    /orders/{id}               read; with an ETag
//	PATCH  /orders/{id}               JSON merge patch (RFC 7396); honours If-Match
//	DELETE /orders/{id}               delete the order and its attachment; honours If-Match
//	PUT    /orders/{id}/attachment    store a file of any type, up to MaxAttachment bytes
//	GET    /orders/{id}/attachment    read it; HEAD and DELETE too
//	GET    /healthz                   200 while the region's table can be read, else 503
//
// Orders live in the table "orders" under their id, attachments in the bucket "attachments" under the id of their order.
// Every response says in X-Served-By which region made it.
package orders
