package sql

import (
	"math"
	"strings"
	"time"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

const (
	dateTimeLayout = "2006-01-02T15:04:05.0000000Z"
	ticksPerSecond = 10_000_000
)

func dateFunctions() map[string]*function {
	now := func(f func(t time.Time) value.Value) *function {
		return &function{0, 0, func(r *run, _ []value.Value) value.Value {
			if r.env.Now == nil {
				return undefined
			}
			if r.now.IsZero() {
				r.now = r.env.Now().UTC()
			}
			return f(r.now)
		}}
	}
	text := now(formatDateTime)
	ticks := now(func(t time.Time) value.Value { return value.OfNumber(float64(ticksOf(t))) })
	stamp := now(func(t time.Time) value.Value { return value.OfNumber(float64(t.UnixMilli())) })
	return map[string]*function{
		"GETCURRENTDATETIME": text, "GETCURRENTDATETIMESTATIC": text,
		"GETCURRENTTICKS": ticks, "GETCURRENTTICKSSTATIC": ticks,
		"GETCURRENTTIMESTAMP": stamp, "GETCURRENTTIMESTAMPSTATIC": stamp,
		"DATETIMEADD": {3, 3, dateTimeAdd}, "DATETIMEDIFF": {3, 3, dateTimeDiff}, "DATETIMEPART": {
			2, 2,
			dateTimePart,
		},
		"DATETIMEFROMPARTS": {3, 7, dateTimeFromParts}, "DATETIMEBIN": {2, 4, dateTimeBin},
		"DATETIMETOTICKS": onValue(func(v value.Value) value.Value {
			t, ok := parseDateTime(v)
			if !ok {
				return undefined
			}
			return value.OfNumber(float64(ticksOf(t)))
		}),
		"DATETIMETOTIMESTAMP": onValue(func(v value.Value) value.Value {
			t, ok := parseDateTime(v)
			if !ok {
				return undefined
			}
			return value.OfNumber(float64(t.UnixMilli()))
		}),
		"TICKSTODATETIME": onValue(func(v value.Value) value.Value {
			if v.Kind != value.Number || math.Abs(v.Num) > 1<<61 {
				return undefined
			}
			n := int64(v.Num)
			return formatDateTime(time.Unix(n/ticksPerSecond, n%ticksPerSecond*100))
		}),
		"TIMESTAMPTODATETIME": onValue(func(v value.Value) value.Value {
			if v.Kind != value.Number || math.Abs(v.Num) > 1<<57 {
				return undefined
			}
			return formatDateTime(time.UnixMilli(int64(v.Num)))
		}),
	}
}

// ticksOf counts 100-nanosecond ticks since 1970, as DateTimeToTicks does.
func ticksOf(t time.Time) int64 { return t.Unix()*ticksPerSecond + int64(t.Nanosecond())/100 }

func formatDateTime(t time.Time) value.Value {
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return undefined
	}
	return value.OfString(t.Format(dateTimeLayout))
}

// parseDateTime reads ISO 8601: YYYY-MM-DD, optionally with a time, a fraction and Z or an offset.
func parseDateTime(v value.Value) (time.Time, bool) {
	if v.Kind != value.String {
		return time.Time{}, false
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999",
		"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02",
	} {
		if t, err := time.Parse(layout, v.Str); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// datePart is the canonical name of a part of a date; "" when it is none.
func datePart(v value.Value) string {
	if v.Kind != value.String {
		return ""
	}
	switch strings.ToLower(v.Str) {
	case "year", "yyyy", "yy":
		return "year"
	case "month", "mm", "m":
		return "month"
	case "day", "dd", "d":
		return "day"
	case "hour", "hh":
		return "hour"
	case "minute", "mi", "n":
		return "minute"
	case "second", "ss", "s":
		return "second"
	case "millisecond", "ms":
		return "millisecond"
	case "microsecond", "mcs":
		return "microsecond"
	case "nanosecond", "ns":
		return "nanosecond"
	}
	return ""
}

var partLength = map[string]time.Duration{
	"day": 24 * time.Hour, "hour": time.Hour, "minute": time.Minute, "second": time.Second,
	"millisecond": time.Millisecond, "microsecond": time.Microsecond, "nanosecond": time.Nanosecond,
}

func dateTimeAdd(_ *run, a []value.Value) value.Value {
	part := datePart(a[0])
	t, ok := parseDateTime(a[2])
	if part == "" || !ok || !isInteger(a[1]) || math.Abs(a[1].Num) > math.MaxInt32 &&
		part != "nanosecond" && part != "microsecond" {
		return undefined
	}
	n := int(a[1].Num)
	switch part {
	case "year":
		return formatDateTime(addMonths(t, 12*n))
	case "month":
		return formatDateTime(addMonths(t, n))
	case "day":
		return formatDateTime(t.AddDate(0, 0, n))
	}
	unit := partLength[part]
	if math.Abs(a[1].Num) > float64(math.MaxInt64/int64(unit)) {
		// A Duration does not hold it: whole seconds first.
		per := int(time.Second / min(unit, time.Second))
		return formatDateTime(t.Add(time.Duration(n/per) * time.Second))
	}
	return formatDateTime(t.Add(time.Duration(n) * unit))
}

// addMonths keeps the day within the month: January 31 plus a month is the end of February.
func addMonths(t time.Time, n int) time.Time {
	out := t.AddDate(0, n, 0)
	if want := ((int(t.Month())-1+n)%12+12)%12 + 1; int(out.Month()) != want {
		out = out.AddDate(0, 0, -out.Day())
	}
	return out
}

// dateTimeDiff counts the boundaries of the part that lie between two dates.
func dateTimeDiff(_ *run, a []value.Value) value.Value {
	part := datePart(a[0])
	from, ok1 := parseDateTime(a[1])
	to, ok2 := parseDateTime(a[2])
	if part == "" || !ok1 || !ok2 {
		return undefined
	}
	switch part {
	case "year":
		return value.OfNumber(float64(to.Year() - from.Year()))
	case "month":
		return value.OfNumber(float64(12*(to.Year()-from.Year()) + int(to.Month()) - int(from.Month())))
	}
	return value.OfNumber(units(to, part) - units(from, part))
}

// units counts whole parts since 1970.
func units(t time.Time, part string) float64 {
	unit := partLength[part]
	if unit >= time.Second {
		return math.Floor(float64(t.Unix()) / unit.Seconds())
	}
	per := float64(time.Second / unit)
	return float64(t.Unix())*per + math.Floor(float64(t.Nanosecond())/float64(unit))
}

func dateTimePart(_ *run, a []value.Value) value.Value {
	t, ok := parseDateTime(a[1])
	if !ok {
		return undefined
	}
	n := 0
	switch datePart(a[0]) {
	case "year":
		n = t.Year()
	case "month":
		n = int(t.Month())
	case "day":
		n = t.Day()
	case "hour":
		n = t.Hour()
	case "minute":
		n = t.Minute()
	case "second":
		n = t.Second()
	case "millisecond":
		n = t.Nanosecond() / 1e6
	case "microsecond":
		n = t.Nanosecond() / 1e3
	case "nanosecond":
		n = t.Nanosecond()
	default:
		return undefined
	}
	return value.OfNumber(float64(n))
}

func dateTimeFromParts(_ *run, a []value.Value) value.Value {
	n := [7]int{}
	for i, v := range a {
		if !isInteger(v) || v.Num < 0 || v.Num > 9_999_999 {
			return undefined
		}
		n[i] = int(v.Num)
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*100, time.UTC)
	// time.Date normalises what is out of range; such parts are refused instead.
	if n[0] < 1 || n[0] > 9999 || t.Month() != time.Month(n[1]) || t.Day() != n[2] ||
		t.Hour() != n[3] || t.Minute() != n[4] || t.Second() != n[5] {
		return undefined
	}
	return formatDateTime(t)
}

// dateTimeBin rounds a date down to bins of so many parts, counted from an origin (1970 unless
// given).
func dateTimeBin(_ *run, a []value.Value) value.Value {
	t, ok := parseDateTime(a[0])
	unit, known := partLength[datePart(a[1])]
	size, origin := 1.0, time.Unix(0, 0).UTC()
	if len(a) > 2 {
		if !isInteger(a[2]) || a[2].Num < 1 {
			return undefined
		}
		size = a[2].Num
	}
	if len(a) > 3 {
		var good bool
		if origin, good = parseDateTime(a[3]); !good {
			return undefined
		}
	}
	width := size * float64(unit)
	if !ok || !known || width > float64(math.MaxInt64) {
		return undefined
	}
	d := t.Sub(origin)
	bins := math.Floor(float64(d) / width)
	return formatDateTime(origin.Add(time.Duration(bins * width)))
}
