package config

import (
	"strings"
	"testing"
	"time"
)

func TestNothingGivesTheDefaults(t *testing.T) {
	want := Config{
		Cluster: "jwt-api", Authority: "jwt-api", Path: "/auth", ReadHeader: "authorization",
		Tick: 15 * time.Second, Timeout: 5 * time.Second, OnResponse: true,
		TokenHeader: "x-auth", MarkerHeader: "x-wasm-filter", MarkerValue: "hello from wasm",
	}
	for _, text := range []string{"", " \n\t", "{}", " { } "} {
		if got, err := Parse([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if got, err := Parse(nil); err != nil || got != want {
		t.Errorf("nil: %+v, %v", got, err)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	got, err := Parse([]byte(`{"cluster": "a b", "authority": "api:8080", "path": "/t?x=1", "read_header": "X-Token",
		"tick": "1m30s", "timeout": "250ms", "fetch": "per-worker", "inject": "both", "token_header": "X-A", "marker_header": "x-b",
		"marker_value": "\u0068i"}`))
	want := Config{
		Cluster: "a b", Authority: "api:8080", Path: "/t?x=1", ReadHeader: "x-token",
		Tick: 90 * time.Second, Timeout: 250 * time.Millisecond, PerWorker: true, OnRequest: true, OnResponse: true,
		TokenHeader: "x-a", MarkerHeader: "x-b", MarkerValue: "hi",
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInjectNamesTheSides(t *testing.T) {
	for text, want := range map[string][2]bool{"request": {true, false}, "response": {false, true}, "both": {true, true}} {
		got, err := Parse([]byte(`{"inject": "` + text + `"}`))
		if err != nil || [2]bool{got.OnRequest, got.OnResponse} != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// Invalid are configurations with the error that each one gets.
var invalid = map[string]string{
	`{"tick": "1ns"}`:    `"tick": must be between 100ms and 24h, got "1ns"`,
	`{"tick": "99.9ms"}`: `"tick": must be between 100ms and 24h, got "99.9ms"`,
	`{"tick": "25h"}`:    `"tick": must be between 100ms and 24h, got "25h"`,
	`{"tick": "-15s"}`:   `"tick": must be between 100ms and 24h, got "-15s"`,
	`{"tick": "15"}`:     `"tick": must be a duration such as "15s", got "15"`,
	`{"tick": "soon"}`:   `"tick": must be a duration such as "15s", got "soon"`,
	`{"tick": 15}`:       `"tick": must be a string, got a number`,
	`{"tick": ""}`:       `"tick": must not be empty`,

	`{"timeout": "0s"}`: `"timeout": must be between 1ms and 5m, got "0s"`,
	`{"timeout": "6m"}`: `"timeout": must be between 1ms and 5m, got "6m"`,

	`{"cluster": null}`:         `"cluster": must be a string, got null`,
	`{"cluster": ""}`:           `"cluster": must not be empty`,
	`{"cluster": "a\u0000b"}`:   `"cluster": must be printable ASCII without control characters, got "a\x00b"`,
	`{"cluster": "jwt-äpi"}`:    `"cluster": must be printable ASCII without control characters, got "jwt-\u00e4pi"`,
	`{"authority": true}`:       `"authority": must be a string, got a boolean`,
	`{"authority": "a b"}`:      `"authority": must not contain a space, got "a b"`,
	`{"path": "auth"}`:          `"path": must start with "/", got "auth"`,
	`{"path": "/a b"}`:          `"path": must not contain a space, got "/a b"`,
	`{"path": ["/auth"]}`:       `"path": must be a string, got an array`,
	`{"read_header": ":path"}`:  `"read_header": must not be a pseudo-header, got ":path"`,
	`{"read_header": "a b"}`:    `"read_header": must be a header name, got "a b"`,
	`{"token_header": "x:y"}`:   `"token_header": must be a header name, got "x:y"`,
	`{"marker_header": {}}`:     `"marker_header": must be a string, got an object`,
	`{"marker_value": "a\r\n"}`: `"marker_value": must be printable ASCII without control characters, got "a\r\n"`,
	`{"fetch": "sharde"}`:       `"fetch": must be "shared" or "per-worker", got "sharde"`,
	`{"inject": "none"}`:        `"inject": must be "response" or "request" or "both", got "none"`,

	`{"token_header": "Content-Length"}`:     `"token_header": must not be a header that HTTP itself needs, got "Content-Length"`,
	`{"marker_header": "transfer-encoding"}`: `"marker_header": must not be a header that HTTP itself needs, got "transfer-encoding"`,
	`{"token_header": "X-Wasm-Filter"}`:      `"token_header": must differ from "marker_header", both are "x-wasm-filter"`,

	`{"tick": "15s", "tick": "1s"}`:                    `"tick": is given twice`,
	`{"tick": "15s", "\u0074ick": "1s"}`:               `"tick": is given twice`,
	`{"tikc": "15s"}`:                                  `"tikc": is not a key of the configuration, did you mean "tick"?`,
	`{"Cluster": "a"}`:                                 `"Cluster": is not a key of the configuration, did you mean "cluster"?`,
	`{"interval": "15s"}`:                              `"interval": is not a key of the configuration`,
	`{"a\nb": 1}`:                                      `"a\nb": is not a key of the configuration`,
	`{"` + strings.Repeat("x", 200) + `": 1}`:          `"` + strings.Repeat("x", 61) + `...": is not a key of the configuration`,
	`{"cluster": "` + strings.Repeat("x", 1025) + `"}`: `"cluster": must have at most 1024 bytes, has 1025`,

	`[]`:   `must be a JSON object, got an array`,
	`null`: `must be a JSON object, got null`,
	`15`:   `must be a JSON object, got a number`,
}

func TestEachMistakeIsNamed(t *testing.T) {
	for text, want := range invalid {
		if _, err := Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestWhatIsNotJSON(t *testing.T) {
	for _, text := range []string{`{`, `{}}`, `{} {}`, `{"tick": "1s",}`, `{'tick': "1s"}`, `tick: 1s`, "\xef\xbb\xbf{}", `{"tick": "1s"`, "\x00"} {
		if _, err := Parse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "is not valid JSON: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSourceTellsApartWhatIsFetchedApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{`{}`, `{"cluster": "b"}`, `{"authority": "b"}`, `{"path": "/b"}`, `{"read_header": "b"}`} {
		c, err := Parse([]byte(text))
		if other, ok := seen[c.Source()]; err != nil || ok {
			t.Errorf("%s has the source of %s, %v", text, other, err)
		}
		seen[c.Source()] = text
	}
	same, _ := Parse([]byte(`{"tick": "1s", "token_header": "a", "inject": "both"}`))
	if same.Source() != Default().Source() {
		t.Error("what is done with a token is no part of its source")
	}
}

func FuzzParse(f *testing.F) {
	for text := range invalid {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"inject": "both", "fetch": "per-worker"}`))
	f.Add([]byte("t" + strings.Repeat("\xd5\x00\n", 1000)))
	f.Add([]byte(`{"tick": "` + "\xff" + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if !oneLine(err.Error()) {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		for _, text := range []string{c.Cluster, c.Authority, c.Path, c.ReadHeader, c.TokenHeader, c.MarkerHeader, c.MarkerValue} {
			if text == "" || !printable(text) {
				t.Errorf("%q got through", text)
			}
		}
		if c.Tick < 100*time.Millisecond || c.Timeout <= 0 || !c.OnRequest && !c.OnResponse {
			t.Errorf("%+v", c)
		}
	})
}

func oneLine(text string) bool { return !strings.ContainsAny(text, "\r\n\x00") && len(text) < 1000 }
