// Package token judges tokens. It is pure: no clock, no host call, no log.
package token

import (
	"encoding/base64"
	"strings"

	"github.com/valyala/fastjson"
)

// MaxBytes is the longest token that is taken: with more, many servers refuse the request that carries it.
const MaxBytes = 16 * 1024

// Problem is what is wrong with a value as a token; the text is the end of a metric's name.
type Problem string

const (
	None         Problem = ""
	Empty        Problem = "empty"
	TooLong      Problem = "too_long"
	ControlChars Problem = "control_chars"
	Expired      Problem = "expired"
)

// Token is a header value and how long it is good.
type Token struct {
	Value     string
	FetchedMS int64 // Unix time
	ExpiresMS int64 // Unix time; 0: as long as no other one comes
}

// Expired tells whether the token's own time is over.
func (t Token) Expired(nowMS int64) bool { return t.ExpiresMS != 0 && nowMS >= t.ExpiresMS }

// Parse takes a header value as it is, which may be an opaque token, a JWT, or either after a scheme.
func Parse(value string, nowMS int64) (Token, Problem) {
	switch {
	case value == "":
		return Token{}, Empty
	case len(value) > MaxBytes:
		return Token{}, TooLong
	}
	for i := range len(value) {
		// CR and LF would let the JWT API write headers of its own into every response: Envoy sends them out.
		if value[i] < ' ' || value[i] > '~' {
			return Token{}, ControlChars
		}
	}
	t := Token{Value: value, FetchedMS: nowMS, ExpiresMS: expiryMS(value)}
	if t.Expired(nowMS) {
		return Token{}, Expired
	}
	return t, None
}

// expiryMS reads a JWT's `exp`, 0 if there is none to be read. Nothing is verified: that is the receiver's part.
func expiryMS(value string) int64 {
	const scheme = "bearer "
	if len(value) > len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) {
		value = strings.TrimLeft(value[len(scheme):], " ")
	}
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return 0
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return 0
	}
	claims, err := fastjson.ParseBytes(payload)
	if err != nil || claims.Type() != fastjson.TypeObject {
		return 0
	}
	exp := claims.Get("exp")
	if exp == nil || exp.Type() != fastjson.TypeNumber {
		return 0
	}
	seconds := exp.GetFloat64()
	switch {
	case seconds != seconds || seconds > 1e12: // the year 33658: an `exp` in another unit, or none meant
		return 0
	case seconds < 0.001:
		return 1 // long over, and 0 is taken
	}
	return int64(seconds * 1000)
}
