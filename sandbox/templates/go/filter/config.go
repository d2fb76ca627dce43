package main

import (
	"errors"

	"github.com/valyala/fastjson"
)

// config is the plugin configuration: a JSON object with these keys, each of which may be left out.
type config struct {
	greeting string // "greeting": the value of the header
	header   string // "header": its name, in lower case as Envoy has all names
}

// parseConfig reads it with fastjson and without fmt: encoding/json and fmt add almost a megabyte each to a module of Go's, and
// Envoy 0.7 s to its start.
func parseConfig(data []byte) (config, error) {
	c := config{greeting: "hello from my filter", header: "x-wasm-filter"}
	if len(data) == 0 {
		return c, nil
	}
	value, err := fastjson.ParseBytes(data)
	if err != nil {
		return c, errors.New("is not valid JSON: " + err.Error())
	}
	object, err := value.Object()
	if err != nil {
		return c, errors.New("must be a JSON object")
	}
	object.Visit(func(key []byte, value *fastjson.Value) {
		text, wrong := value.StringBytes()
		switch {
		case err != nil: // the first mistake is told
		case wrong != nil || len(text) == 0:
			err = errors.New(`"` + string(key) + `" must be a string, and not empty`)
		case string(key) == "greeting":
			c.greeting = string(text)
		case string(key) == "header":
			c.header = string(text)
		default:
			err = errors.New(`"` + string(key) + `" is not a key of the configuration`)
		}
	})
	return c, err
}
