package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func TestEveryResponseGetsBothHeaders(t *testing.T) {
	for _, configuration := range []string{"", "{}", " \n"} {
		eachBuild(t, configuration, func(e *envoy) {
			e.start()
			e.fetchToken(tokenA)
			for range 3 {
				request, response := e.request([][2]string{{":path", "/"}}, [][2]string{{":status", "404"}})
				e.want(response, marker, greeted)
				e.want(response, auth, tokenA)
				e.want(request, marker)
				e.want(request, auth)
			}
			e.wantCount("injected.response", 3)
			e.wantCount("injected.request", 0)
			e.wantCount("skipped.no_token", 0)
		})
	}
}

func TestTheCall(t *testing.T) {
	eachBuild(t, "", func(e *envoy) {
		e.start()
		call := e.call()
		if call.Upstream != "jwt-api" || len(call.Body) != 0 {
			t.Errorf("%+v", call)
		}
		e.want(call.Headers, ":method", "GET")
		e.want(call.Headers, ":path", "/auth")
		e.want(call.Headers, ":authority", "jwt-api")
		e.wantLog("info", "token from cluster jwt-api")
		if !strings.Contains(logged.String()[e.from:], "timeout: 5000") {
			t.Error("not the default time-out")
		}
	})
	eachBuild(t, `{"cluster": "sts", "authority": "sts:8080", "path": "/t?a=b", "timeout": "1.5s", "read_header": "X-Token",
		"token_header": "X-Out", "marker_header": "X-Seen", "marker_value": "yes"}`, func(e *envoy) {
		e.start()
		call := e.call()
		e.want([][2]string{{"cluster", call.Upstream}}, "cluster", "sts")
		e.want(call.Headers, ":path", "/t?a=b")
		e.want(call.Headers, ":authority", "sts:8080")
		if !strings.Contains(logged.String()[e.from:], "timeout: 1500") {
			t.Error("not the configured time-out")
		}
		e.CallOnHttpCallResponse(call.CalloutID, [][2]string{{":status", "200"}, {"authorization", tokenB}, {"x-token", tokenA}}, nil, nil)
		response := e.response()
		e.want(response, "x-out", tokenA)
		e.want(response, "x-seen", "yes")
		e.want(response, auth)
		e.want(response, marker)
	})
}

// Not at the start itself, because Envoy starts each plugin once more in a VM that it throws away.
func TestTheFirstFetchComesOnTheFirstTickAfterAMillisecond(t *testing.T) {
	for _, fetch := range []string{"shared", "per-worker"} {
		eachBuild(t, `{"fetch": "`+fetch+`"}`, func(e *envoy) {
			e.start()
			if len(e.calls()) != 0 || e.GetTickPeriod() != 1 {
				t.Errorf("%d calls, a tick each %d ms", len(e.calls()), e.GetTickPeriod())
			}
			for range 3 { // a millisecond is soon over, the cells may not be there at first
				e.Tick()
			}
			if len(e.calls()) != 1 {
				t.Errorf("%d calls", len(e.calls()))
			}
		})
	}
}

func TestOneCallAtATimeAndTheTimerFollows(t *testing.T) {
	eachBuild(t, `{"tick": "24h"}`, func(e *envoy) {
		e.start()
		call := e.call()
		for range 20 { // each renews the lease
			e.Tick()
		}
		if len(e.calls()) != 1 || e.GetTickPeriod() != 100 {
			t.Errorf("%d calls, a tick each %d ms", len(e.calls()), e.GetTickPeriod())
		}
		e.CallOnHttpCallResponse(call.CalloutID, [][2]string{{":status", "200"}, {"authorization", tokenA}}, nil, nil)
		for range 20 {
			e.Tick()
		}
		if len(e.calls()) != 1 || e.GetTickPeriod() != 1000 {
			t.Errorf("%d calls, a tick each %d ms", len(e.calls()), e.GetTickPeriod())
		}
	})
}

func TestTheTokenIsReplacedOnTheTick(t *testing.T) {
	for _, fetch := range []string{"shared", "per-worker"} {
		eachBuild(t, `{"tick": "100ms", "fetch": "`+fetch+`"}`, func(e *envoy) {
			e.start()
			e.fetchToken(tokenA)
			e.want(e.response(), auth, tokenA)
			e.fetchToken(tokenB)
			e.want(e.response(), auth, tokenB)
			e.wantCount("fetch.success", 2)
		})
	}
}

func TestForgedHeaders(t *testing.T) {
	forged := [][2]string{{auth, "forged"}, {marker, "forged"}}
	for inject, sides := range map[string][2]bool{"request": {true, false}, "response": {false, true}, "both": {true, true}} {
		eachBuild(t, `{"inject": "`+inject+`"}`, func(e *envoy) {
			e.start()
			check := func(headers [][2]string, ours bool, token ...string) {
				t.Helper()
				if ours {
					e.want(headers, marker, greeted)
					e.want(headers, auth, token...)
				} else {
					e.want(headers, marker, "forged")
					e.want(headers, auth, "forged")
				}
			}
			request, response := e.request(forged, forged)
			check(request, sides[0])
			check(response, sides[1])
			e.fetchToken(tokenA)
			request, response = e.request(forged, forged)
			check(request, sides[0], tokenA)
			check(response, sides[1], tokenA)
			for i, side := range []string{"request", "response"} {
				want := uint64(0)
				if sides[i] {
					want = 1
				}
				e.wantCount("injected."+side, want)
			}
		})
	}
}

func TestWithNoTokenTheHeaderIsAbsentAndTheLogSaysWhy(t *testing.T) {
	eachBuild(t, "", func(e *envoy) {
		e.start()
		e.want(e.response(), auth)
		e.wantLog("debug", "x-auth left out: no token yet, no fetch has ended")
		e.fetch("", [2]string{":status", "200"})
		response := e.response()
		e.want(response, auth)
		e.want(response, marker, greeted)
		e.wantLog("debug", "x-auth left out: no token yet, the last fetch failed: missing")
		e.wantCount("skipped.no_token", 2)
		e.wantCount("injected.response", 0)
	})
}

var failures = []struct {
	reason, body string
	headers      [][2]string
}{
	{"reset", "", nil},
	{"reset", "upstream connect error or disconnect/reset before headers. reset reason: connection termination", [][2]string{{":status", "503"}}},
	{"unreachable", "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure", [][2]string{{":status", "503"}}},
	{"timeout", "upstream request timeout", [][2]string{{":status", "504"}}},
	{"status", "", [][2]string{{":status", "503"}, {"authorization", tokenB}}},
	{"status", "busy", [][2]string{{":status", "500"}}},
	{"missing", "", [][2]string{{":status", "200"}, {"x-other", tokenB}}},
	{"empty", "", [][2]string{{":status", "200"}, {"authorization", ""}}},
	{"too_long", "", [][2]string{{":status", "200"}, {"authorization", mark + strings.Repeat("a", 64*1024)}}},
	{"control_chars", "", [][2]string{{":status", "200"}, {"authorization", mark + "\r\nset-cookie: a=b"}}},
	{"control_chars", "", [][2]string{{":status", "200"}, {"authorization", mark + "\x00"}}},
	{"control_chars", "", [][2]string{{":status", "200"}, {"authorization", mark + "é"}}},
	{"expired", "", [][2]string{{":status", "200"}, {"authorization", jwt(0)}}},
}

func TestAFailedFetchKeepsTheLastGoodTokenAndIsCounted(t *testing.T) {
	for i, f := range failures {
		t.Run(fmt.Sprint(i, f.reason), func(t *testing.T) {
			eachBuild(t, `{"tick": "100ms"}`, func(e *envoy) {
				e.start()
				e.fetch(f.body, f.headers...)
				e.want(e.response(), auth)
				e.wantLog("warn", "fetch failed: "+f.reason+", no token yet, next fetch in ")
				e.fetchToken(tokenA)
				e.fetch(f.body, f.headers...)
				e.want(e.response(), auth, tokenA)
				e.wantLog("warn", "fetch failed: "+f.reason+", the last good token stays, next fetch in ")
				e.wantCount("fetch."+f.reason, 2)
				e.wantCount("fetch.success", 1)
				e.fetchToken(tokenB)
				e.want(e.response(), auth, tokenB)
			})
		})
	}
}

// That each pause is kept is tested in internal/fetch, where time can be made.
func TestTheBackOffGrowsAndASuccessEndsIt(t *testing.T) {
	eachBuild(t, `{"tick": "800ms"}`, func(e *envoy) {
		pause := func(level string) time.Duration {
			logs := e.logs(level)
			_, text, _ := strings.Cut(logs[len(logs)-1], "next fetch in ")
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		e.start()
		for _, most := range []time.Duration{100, 200, 400, 800, 800} {
			most *= time.Millisecond
			e.fetch("", [2]string{":status", "500"})
			if got := pause("warn"); got < most/2 || got > most {
				t.Errorf("got %v, want %v to %v", got, most/2, most)
			}
		}
		e.fetchToken(tokenA)
		if got := pause("info"); got != 800*time.Millisecond {
			t.Errorf("after a success %v", got)
		}
		e.fetch("", [2]string{":status", "500"})
		if got := pause("warn"); got > 100*time.Millisecond {
			t.Errorf("after a success and a failure %v", got)
		}
	})
}

// jwt is over at that Unix time in seconds.
func jwt(exp float64) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return "Bearer " + b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(fmt.Sprintf(`{"exp":%f}`, exp))) + "." + mark
}

func TestAnExpiredTokenIsNeverInjected(t *testing.T) {
	eachBuild(t, `{"tick": "100ms"}`, func(e *envoy) {
		e.start()
		// The first one that is taken is soon over. How far a module's clock has come is not known.
		exp, token := 1640995200.0, ""
		if e.build == "source" {
			exp = float64(time.Now().UnixMilli()) / 1000
		}
		for e.successes() == 0 && len(e.calls()) < 500 {
			exp += 0.5
			token = jwt(exp)
			e.fetchToken(token)
		}
		e.want(e.response(), auth, token)
		for range 5000 {
			e.response()
			if n, _ := e.GetCounterMetric("token_injector.skipped.expired"); n > 0 {
				break
			}
			e.wait()
		}
		_, response := e.request(nil, [][2]string{{auth, "forged"}})
		e.want(response, auth)
		e.want(response, marker, greeted)
		e.wantCount("skipped.expired", 2)
		e.wantLog("debug", "x-auth left out: the token has expired")
	})
}

func TestAMistakeInTheConfigurationFailsTheStart(t *testing.T) {
	for configuration, want := range map[string]string{
		`{"tick": "1ns"}`:                  `configuration: "tick": must be between 100ms and 24h, got "1ns"`,
		`{"timeout": 5}`:                   `configuration: "timeout": must be a string, got a number`,
		`{"clutser": "a"}`:                 `configuration: "clutser": is not a key of the configuration, did you mean "cluster"?`,
		`{"authority": "a b"}`:             `configuration: "authority": must not contain a space, got "a b"`,
		`{"path": "auth"}`:                 `configuration: "path": must start with "/", got "auth"`,
		`{"read_header": ":status"}`:       `configuration: "read_header": must not be a pseudo-header, got ":status"`,
		`{"fetch": "both"}`:                `configuration: "fetch": must be "shared" or "per-worker", got "both"`,
		`{"inject": "all"}`:                `configuration: "inject": must be "response" or "request" or "both", got "all"`,
		`{"token_header": "a b"}`:          `configuration: "token_header": must be a header name, got "a b"`,
		`{"marker_header": ""}`:            `configuration: "marker_header": must not be empty`,
		`{"marker_value": "a\n"}`:          `configuration: "marker_value": must be printable ASCII without control characters, got "a\n"`,
		`{"cluster": "a", "cluster": "b"}`: `configuration: "cluster": is given twice`,
		`{"tick": "15s"}}`:                 `configuration: is not valid JSON: unexpected tail: "}"`,
		`[]`:                               `configuration: must be a JSON object, got an array`,
	} {
		eachBuild(t, configuration, func(e *envoy) {
			if e.StartVM() != types.OnVMStartStatusOK || e.StartPlugin() != types.OnPluginStartStatusFailed {
				t.Errorf("%s was taken", configuration)
			}
			if got := e.logs("critical"); len(got) != 1 || got[0] != want {
				t.Errorf("%s\n got %q\nwant %q", configuration, got, want)
			}
			if !e.FinishVM() { // Envoy ends such a plugin too
				t.Error("the end waits for something")
			}
		})
	}
}

func TestTheAgeOfTheTokenIsAGaugeInSeconds(t *testing.T) {
	const name = "token_injector.token_age_seconds"
	eachBuild(t, `{"tick": "24h"}`, func(e *envoy) {
		e.start()
		e.fetchToken(tokenA)
		if age, err := e.GetGaugeMetric(name); err != nil || age != 0 {
			t.Errorf("%d, %v", age, err)
		}
		for range 3000 {
			if e.Tick(); e.age(name) > 0 {
				break
			}
			e.wait()
		}
		if age := e.age(name); age != 1 {
			t.Errorf("%d s", age)
		}
	})
}

func (e *envoy) successes() uint64 {
	n, _ := e.GetCounterMetric("token_injector.fetch.success")
	return n
}

func (e *envoy) age(name string) uint64 {
	age, _ := e.GetGaugeMetric(name)
	return age
}

func TestEveryMetricIsThereFromTheStart(t *testing.T) {
	eachBuild(t, "", func(e *envoy) {
		e.start()
		for _, name := range []string{
			"fetch.success", "fetch.no_cluster", "fetch.unreachable", "fetch.reset", "fetch.timeout", "fetch.status", "fetch.missing",
			"fetch.empty", "fetch.too_long", "fetch.control_chars", "fetch.expired",
			"injected.request", "injected.response", "skipped.no_token", "skipped.expired",
		} {
			e.wantCount(name, 0)
		}
	})
}

func TestTheEndFreesTheLease(t *testing.T) {
	eachBuild(t, "", func(e *envoy) {
		e.start()
		e.call()
		if !e.FinishVM() {
			t.Error("the end waits for something")
		}
	})
}

func TestTheManifestIsOfThePrebuiltModules(t *testing.T) {
	data, err := os.ReadFile("prebuilt/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		File, SHA256, Compiler, Version, Command string
		Size                                     int
	}
	if err := json.Unmarshal(data, &entries); err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	limits := map[string]int{"tinygo": 220_000, "go": 3_000_000}
	for _, entry := range entries {
		wasm, err := os.ReadFile("prebuilt/" + entry.File)
		sum := sha256.Sum256(wasm)
		if err != nil || len(wasm) != entry.Size || hex.EncodeToString(sum[:]) != entry.SHA256 {
			t.Errorf("%+v is not the file's, %v", entry, err)
		}
		if len(wasm) > limits[entry.Compiler] {
			t.Errorf("%s has %d bytes, over %d", entry.File, len(wasm), limits[entry.Compiler])
		}
		if entry.Version == "" || entry.Command == "" {
			t.Errorf("%+v", entry)
		}
	}
}
