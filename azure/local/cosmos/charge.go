package cosmos

import (
	"strconv"
)

// Request units follow a simple model that meets the published figures: reading 1 KB costs 1 RU and
// 100 KB 10 RU; creating 1 KB costs about 5.3 RU and 100 KB about 50; a replace costs twice a
// create, a delete as much as a create; a query 2.3 RU, plus what it reads. Source:
// https://learn.microsoft.com/azure/cosmos-db/request-units
const (
	createCharge    = 5.29
	queryBase       = 2.3
	queryPerDoc     = 0.04
	queryPerKB      = 0.33
	perKBShare      = 1.0 / 11 // from 1 at 1 KB to 10 at 100 KB
	metadataCharge  = 1.0
	changeFeedBase  = 1.0
	changeFeedPerKB = 0.25
)

func kilobytes(n int) float64 { return float64((n + 1023) / 1024) }

func sizeFactor(n int) float64 { return 1 + max(0, kilobytes(n)-1)*perKBShare }

func readCharge(n int) float64 { return sizeFactor(n) }

func (c *container) writeCharge(r *record) float64 { return createCharge * sizeFactor(len(r.Body)) }

func queryCharge(docs, bytesOut int) float64 {
	return queryBase + queryPerDoc*float64(docs) + queryPerKB*float64(bytesOut)/1024
}

func feedCharge(bytesOut int) float64 {
	return changeFeedBase +
		changeFeedPerKB*kilobytes(bytesOut)
}

func formatCharge(c float64) string { return strconv.FormatFloat(c, 'f', 2, 64) }
