package config

import (
	"strings"
	"time"
)

// Each check here says what is wrong with a value, in words that stand between `"key": ` and `, got "value"`, or nothing.

func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func withoutSpace(text string) string {
	if strings.Contains(text, " ") {
		return "must not contain a space"
	}
	return ""
}

func path(text string) string {
	if text[0] != '/' {
		return `must start with "/"`
	}
	return withoutSpace(text)
}

func oneOf(text string, allowed ...string) string {
	for _, a := range allowed {
		if a == text {
			return ""
		}
	}
	return `must be "` + strings.Join(allowed, `" or "`) + `"`
}

// duration takes its limits as text too, because Duration's own text for 24h is "24h0m0s".
func duration(text string, least time.Duration, leastText string, most time.Duration, mostText string) (time.Duration, string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, `must be a duration such as "15s"`
	}
	if d < least || d > most {
		return 0, "must be between " + leastText + " and " + mostText
	}
	return d, ""
}

// headerName lower-cases, as HTTP/2 and Envoy do.
func headerName(text string) (string, string) {
	if text[0] == ':' {
		return "", "must not be a pseudo-header"
	}
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && !('0' <= c && c <= '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return "", "must be a header name"
		}
	}
	return strings.ToLower(text), ""
}

// writtenHeaderName also refuses the headers that frame a message: writing one would break every request.
func writtenHeaderName(text string) (string, string) {
	name, bad := headerName(text)
	switch name {
	case "connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade":
		return "", "must not be a header that HTTP itself needs"
	}
	return name, bad
}
