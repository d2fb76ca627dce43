package fetch

import (
	"strings"

	"token_injector/internal/token"
)

// Outcome is how a fetch ended; the text is the end of a metric's name.
type Outcome string

const (
	Success      Outcome = "success"
	NoCluster    Outcome = "no_cluster"  // Envoy knows no such cluster
	Unreachable  Outcome = "unreachable" // no connection: refused, timed out, no healthy or resolved host
	Reset        Outcome = "reset"       // the connection ended before the answer did
	Timeout      Outcome = "timeout"
	Status       Outcome = "status"  // answered, but not 200
	Missing      Outcome = "missing" // 200 without the header
	Empty                = Outcome(token.Empty)
	TooLong              = Outcome(token.TooLong)
	ControlChars         = Outcome(token.ControlChars)
	Expired              = Outcome(token.Expired)
)

// Judge reads an answer. headers are nil where Envoy had none to show. body is asked for only where it tells Envoy's own
// answer from the JWT API's. Source: measured on Envoy 1.40, source/common/router/router.cc has the texts.
func Judge(headers [][2]string, body func() string, readHeader string, nowMS int64) (token.Token, Outcome) {
	status, ok := find(headers, ":status")
	switch {
	case !ok:
		return token.Token{}, Reset
	case status != "200":
		return token.Token{}, refusal(status, body)
	}
	value, ok := find(headers, readHeader)
	if !ok {
		return token.Token{}, Missing
	}
	t, problem := token.Parse(value, nowMS)
	if problem != token.None {
		return token.Token{}, Outcome(problem)
	}
	return t, Success
}

func refusal(status string, body func() string) Outcome {
	switch status {
	case "502", "503":
		text := body()
		switch {
		case strings.HasPrefix(text, "no healthy upstream"):
			return Unreachable
		case !strings.HasPrefix(text, "upstream connect error or disconnect/reset before headers"):
		case strings.Contains(text, "connection failure"), strings.Contains(text, "connection timeout"):
			return Unreachable
		default:
			return Reset
		}
	case "504":
		if strings.HasPrefix(body(), "upstream request timeout") {
			return Timeout
		}
	}
	return Status
}

func find(headers [][2]string, name string) (string, bool) {
	for _, h := range headers {
		if h[0] == name {
			return h[1], true
		}
	}
	return "", false
}
