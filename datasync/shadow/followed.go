package shadow

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

// followedMost bounds the announcements that one batch settles.
const followedMost = 10_000

// ShownBefore settles what was announced of a region before a time, on another node's word that the
// region's feeds have shown it. It settles a bounded number and reports whether there may be more.
func (tx *Tx) ShownBefore(region proa.Region, before time.Time) (more bool, err error) {
	type one struct {
		target string
		stamp  hlc.Timestamp
	}
	var old []one
	limit := hlc.At(before)
search:
	for target, list := range tx.s.announced[resolve.Index(region)].stamps {
		for _, o := range list {
			if o.stamp >= limit {
				continue
			}
			if len(old) == followedMost {
				more = true
				break search
			}
			old = append(old, one{target, o.stamp})
		}
	}
	for _, o := range old {
		if err := tx.forgetAnnounced(region, o.target, o.stamp); err != nil {
			return more, err
		}
	}
	return more, nil
}
