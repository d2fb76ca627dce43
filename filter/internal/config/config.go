// Package config reads the plugin's configuration. It is pure: no host call, no log.
package config

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

// Config is a plugin configuration that was found valid. Header names are lower-case.
type Config struct {
	Cluster, Authority, Path, ReadHeader   string // where the token comes from
	Tick, Timeout                          time.Duration
	PerWorker                              bool // each VM fetches for itself
	OnRequest, OnResponse                  bool // where both headers go
	TokenHeader, MarkerHeader, MarkerValue string
}

// Default is the configuration of a plugin that was given none.
func Default() Config {
	return Config{
		Cluster: "jwt-api", Authority: "jwt-api", Path: "/auth", ReadHeader: "authorization",
		Tick: 15 * time.Second, Timeout: 5 * time.Second,
		OnResponse:  true,
		TokenHeader: "x-auth", MarkerHeader: "x-wasm-filter", MarkerValue: "hello from wasm",
	}
}

// Source names what the token depends on, so that two configurations share one token only when they would fetch the same.
func (c Config) Source() string {
	// No value can hold a NUL, so that no two sources get one name.
	return c.Cluster + "\x00" + c.Authority + "\x00" + c.Path + "\x00" + c.ReadHeader
}

const maxValueBytes = 1024

// keys are all that a configuration may hold; every value is a string. set says what is wrong with a value, or nothing.
var keys = [...]struct {
	name string
	set  func(c *Config, value string) string
}{
	{"cluster", func(c *Config, v string) string { c.Cluster = v; return "" }},
	{"authority", func(c *Config, v string) string { c.Authority = v; return withoutSpace(v) }},
	{"path", func(c *Config, v string) string { c.Path = v; return path(v) }},
	{"read_header", func(c *Config, v string) (bad string) { c.ReadHeader, bad = headerName(v); return }},
	{"tick", func(c *Config, v string) (bad string) {
		c.Tick, bad = duration(v, 100*time.Millisecond, "100ms", 24*time.Hour, "24h")
		return
	}},
	{"timeout", func(c *Config, v string) (bad string) {
		c.Timeout, bad = duration(v, time.Millisecond, "1ms", 5*time.Minute, "5m")
		return
	}},
	{"fetch", func(c *Config, v string) string {
		c.PerWorker = v == "per-worker"
		return oneOf(v, "shared", "per-worker")
	}},
	{"inject", func(c *Config, v string) string {
		c.OnRequest, c.OnResponse = v != "response", v != "request"
		return oneOf(v, "response", "request", "both")
	}},
	{"token_header", func(c *Config, v string) (bad string) { c.TokenHeader, bad = writtenHeaderName(v); return }},
	{"marker_header", func(c *Config, v string) (bad string) { c.MarkerHeader, bad = writtenHeaderName(v); return }},
	{"marker_value", func(c *Config, v string) string { c.MarkerValue = v; return "" }},
}

// Parse reads a JSON object over the defaults; nothing but white space is the empty object. The error's text names the key.
func Parse(data []byte) (Config, error) {
	c := Default()
	if len(bytes.TrimSpace(data)) == 0 {
		return c, nil
	}
	document, err := fastjson.ParseBytes(data)
	if err != nil {
		text := err.Error() // which can quote all of the input
		if len(text) > 160 {
			text = strings.ToValidUTF8(text[:160], "") + "..."
		}
		return c, errors.New("is not valid JSON: " + text)
	}
	if document.Type() != fastjson.TypeObject {
		return c, errors.New("must be a JSON object, got " + kind(document))
	}
	var seen [len(keys)]bool
	document.GetObject().Visit(func(key []byte, value *fastjson.Value) {
		if err != nil {
			return
		}
		i := index(string(key))
		switch {
		case i < 0:
			err = unknown(string(key))
		case seen[i]:
			err = errors.New(quote(keys[i].name) + ": is given twice")
		default:
			seen[i] = true
			err = set(&c, i, value)
		}
	})
	if err == nil && c.TokenHeader == c.MarkerHeader {
		err = errors.New(`"token_header": must differ from "marker_header", both are ` + quote(c.TokenHeader))
	}
	return c, err
}

func set(c *Config, i int, value *fastjson.Value) error {
	fail := func(what string) error { return errors.New(quote(keys[i].name) + ": " + what) }
	if value.Type() != fastjson.TypeString {
		return fail("must be a string, got " + kind(value))
	}
	text := string(value.GetStringBytes())
	switch {
	case text == "":
		return fail("must not be empty")
	case len(text) > maxValueBytes:
		return fail("must have at most " + strconv.Itoa(maxValueBytes) + " bytes, has " + strconv.Itoa(len(text)))
	case !printable(text):
		return fail("must be printable ASCII without control characters, got " + quote(text))
	}
	if bad := keys[i].set(c, text); bad != "" {
		return fail(bad + ", got " + quote(text))
	}
	return nil
}

func index(name string) int {
	for i := range keys {
		if keys[i].name == name {
			return i
		}
	}
	return -1
}

func unknown(name string) error {
	text := quote(name) + ": is not a key of the configuration"
	best, least := "", 3 // more than two slips is another word
	for i := range keys {
		if d := distance(name, keys[i].name); d < least {
			best, least = keys[i].name, d
		}
	}
	if best != "" {
		text += ", did you mean " + quote(best) + "?"
	}
	return errors.New(text)
}

// distance counts the letters to add, drop or exchange between a and b. Long words are far from everything.
func distance(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func kind(v *fastjson.Value) string {
	switch v.Type() {
	case fastjson.TypeNull:
		return "null"
	case fastjson.TypeTrue, fastjson.TypeFalse:
		return "a boolean"
	case fastjson.TypeNumber:
		return "a number"
	case fastjson.TypeString:
		return "a string"
	case fastjson.TypeArray:
		return "an array"
	}
	return "an object"
}

// quote makes any text fit for one log line.
func quote(text string) string {
	if len(text) > 64 {
		text = text[:61] + "..."
	}
	return strconv.QuoteToASCII(text)
}
