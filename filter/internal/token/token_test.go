package token

import (
	"encoding/base64"
	"strings"
	"testing"
)

func jwt(payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(payload)) + ".c2ln"
}

func TestProblems(t *testing.T) {
	const nowMS = 1_800_000_000_000
	for name, c := range map[string]struct {
		value string
		want  Problem
	}{
		"opaque":                  {"abc", None},
		"opaque with a scheme":    {"Bearer abc", None},
		"empty":                   {"", Empty},
		"the longest":             {strings.Repeat("a", MaxBytes), None},
		"too long":                {strings.Repeat("a", MaxBytes+1), TooLong},
		"CR LF":                   {"abc\r\nset-cookie: a=b", ControlChars},
		"LF":                      {"a\nb", ControlChars},
		"NUL":                     {"a\x00b", ControlChars},
		"tab":                     {"a\tb", ControlChars},
		"DEL":                     {"a\x7fb", ControlChars},
		"UTF-8":                   {"tökn", ControlChars},
		"JWT in time":             {"Bearer " + jwt(`{"exp":1800000001}`), None},
		"JWT just over":           {jwt(`{"exp":1800000000}`), Expired},
		"JWT over":                {"bearer  " + jwt(`{"sub":"a","exp":1799999999}`), Expired},
		"JWT of 1970":             {jwt(`{"exp":0}`), Expired},
		"JWT before 1970":         {jwt(`{"exp":-5}`), Expired},
		"JWT with a fraction":     {jwt(`{"exp":1799999999.9}`), Expired},
		"JWT with an exponent":    {jwt(`{"exp":1.7e9}`), Expired},
		"JWT without exp":         {jwt(`{"sub":"a"}`), None},
		"exp in a nested object":  {jwt(`{"a":{"exp":1}}`), None},
		"exp as a string":         {jwt(`{"exp":"1"}`), None},
		"exp not a number":        {jwt(`{"exp":nan}`), None},
		"exp endless":             {jwt(`{"exp":inf}`), None},
		"exp in the far future":   {jwt(`{"exp":1e300}`), None},
		"payload not JSON":        {jwt(`{"exp":1`), None},
		"payload not an object":   {jwt(`[1]`), None},
		"payload not base64":      {"a.!!.c", None},
		"payload empty":           {"a..c", None},
		"another scheme":          {"Basic " + jwt(`{"exp":1}`), Expired}, // a header, a payload and a signature are a JWT's
		"four parts":              {jwt(`{"exp":1}`) + ".d", None},
		"scheme alone":            {"Bearer ", None},
		"padded, as some do send": {"a." + base64.URLEncoding.EncodeToString([]byte(`{"exp":1}`)) + ".c", Expired},
	} {
		got, problem := Parse(c.value, nowMS)
		if problem != c.want {
			t.Errorf("%s: got %q, want %q", name, problem, c.want)
		}
		if problem == None && (got.Value != c.value || got.FetchedMS != nowMS) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	got, _ := Parse(jwt(`{"exp":1800000000.5}`), 0)
	if got.ExpiresMS != 1_800_000_000_500 || got.Expired(1_800_000_000_499) || !got.Expired(1_800_000_000_500) {
		t.Errorf("%+v", got)
	}
	if opaque, _ := Parse("abc", 0); opaque.Expired(1 << 62) {
		t.Error("an opaque token lives until it is replaced")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "abc", "Bearer ", jwt(`{"exp":1}`), jwt(`{"exp":-1e999}`), jwt(`[[[[[[`), "a.e30.c", "..", "\xff"} {
		f.Add(seed, int64(1))
	}
	f.Fuzz(func(t *testing.T, value string, nowMS int64) {
		got, problem := Parse(value, nowMS)
		if problem == None && (got.Value != value || got.Expired(nowMS) || got.ExpiresMS < 0) {
			t.Errorf("%+v", got)
		}
		if problem != None && got != (Token{}) {
			t.Errorf("%s and yet %+v", problem, got)
		}
	})
}
