package fetch

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	const local = "upstream connect error or disconnect/reset before headers. "
	answer := func(status string, more ...[2]string) [][2]string {
		return append([][2]string{{":status", status}}, more...)
	}
	for name, c := range map[string]struct {
		headers [][2]string
		body    string
		want    Outcome
	}{
		"good":                  {answer("200", [2]string{"authorization", "Bearer a"}), "", Success},
		"no headers at all":     {nil, "", Reset},
		"refused":               {answer("503"), local + "reset reason: remote connection failure, transport failure reason: …", Unreachable},
		"connecting timed out":  {answer("503"), local + "reset reason: connection timeout", Unreachable},
		"no host":               {answer("503"), "no healthy upstream", Unreachable},
		"closed before headers": {answer("503"), local + "reset reason: connection termination", Reset},
		"headers too big":       {answer("502"), local + "reset reason: protocol error", Reset},
		"its own 503":           {answer("503"), "maintenance", Status},
		"too slow":              {answer("504"), "upstream request timeout", Timeout},
		"its own 504":           {answer("504"), "", Status},
		"204 is not 200":        {answer("204", [2]string{"authorization", "Bearer a"}), "", Status},
		"redirect":              {answer("302"), "", Status},
		"without the header":    {answer("200"), "", Missing},
		"empty":                 {answer("200", [2]string{"authorization", ""}), "", Empty},
		"too long":              {answer("200", [2]string{"authorization", strings.Repeat("a", 16*1024+1)}), "", TooLong},
		"control characters":    {answer("200", [2]string{"authorization", "a\r\nb: c"}), "", ControlChars},
		"expired":               {answer("200", [2]string{"authorization", "a.eyJleHAiOjF9.c"}), "", Expired},
	} {
		got, outcome := Judge(c.headers, func() string { return c.body }, "authorization", 5000)
		if outcome != c.want || (outcome == Success) != (got.Value != "") {
			t.Errorf("%s: got %q, want %q, %+v", name, outcome, c.want, got)
		}
	}
}
