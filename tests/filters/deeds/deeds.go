package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
)

// side is the headers of one direction.
type side struct {
	all     func() ([][2]string, error)
	put     func([][2]string) error
	add     func(name, value string) error
	replace func(name, value string) error
	remove  func(name string) error
	body    func(s *stream, text *string)
}

var requestHeaders = side{
	all:     proxywasm.GetHttpRequestHeaders,
	put:     proxywasm.ReplaceHttpRequestHeaders,
	add:     proxywasm.AddHttpRequestHeader,
	replace: proxywasm.ReplaceHttpRequestHeader,
	remove:  proxywasm.RemoveHttpRequestHeader,
	body:    func(s *stream, text *string) { s.requestBody = text },
}

var responseHeaders = side{
	all:     proxywasm.GetHttpResponseHeaders,
	put:     proxywasm.ReplaceHttpResponseHeaders,
	add:     proxywasm.AddHttpResponseHeader,
	replace: proxywasm.ReplaceHttpResponseHeader,
	remove:  proxywasm.RemoveHttpResponseHeader,
	body:    func(s *stream, text *string) { s.responseBody = text },
}

type verb struct {
	name  string
	least int // how many arguments it needs
	do    func(h side, a []string, s *stream) error
}

type deed struct {
	verb      *verb
	arguments []string
}

var verbs = [...]verb{
	// add NAME VALUE, beside what has that name
	{"add", 2, func(h side, a []string, _ *stream) error { return h.add(a[0], a[1]) }},
	// replace NAME VALUE, also where nothing has that name
	{"replace", 2, func(h side, a []string, _ *stream) error { return h.replace(a[0], a[1]) }},
	// remove NAME with all of its values
	{"remove", 1, func(h side, a []string, _ *stream) error { return h.remove(a[0]) }},
	// drop NAME VALUE, and leave what else has that name
	{"drop", 2, func(h side, a []string, _ *stream) error {
		return edit(h, func(all [][2]string) [][2]string {
			var left [][2]string
			for _, header := range all {
				if header != [2]string{a[0], a[1]} {
					left = append(left, header)
				}
			}
			return left
		})
	}},
	// rename NAME NEW, where it stands
	{"rename", 2, func(h side, a []string, _ *stream) error {
		return edit(h, func(all [][2]string) [][2]string {
			for i := range all {
				if all[i][0] == a[0] {
					all[i][0] = a[1]
				}
			}
			return all
		})
	}},
	// last NAME: moved behind all others
	{"last", 1, func(h side, a []string, _ *stream) error {
		return edit(h, func(all [][2]string) [][2]string {
			var others, moved [][2]string
			for _, header := range all {
				if header[0] == a[0] {
					moved = append(moved, header)
				} else {
					others = append(others, header)
				}
			}
			return append(others, moved...)
		})
	}},
	// rewrite: take all headers and put the same ones back
	{"rewrite", 0, func(h side, _ []string, _ *stream) error {
		return edit(h, func(all [][2]string) [][2]string { return all })
	}},
	// body TEXT in place of the one that comes, if one comes
	{"body", 1, func(h side, a []string, s *stream) error {
		h.body(s, &a[0])
		return h.remove("content-length")
	}},
	// reply STATUS BODY [NAME VALUE]…: answer, without asking the upstream
	{"reply", 2, func(_ side, a []string, s *stream) error {
		status, err := strconv.ParseUint(a[0], 10, 32)
		if err != nil {
			return err
		}
		var headers [][2]string
		for i := 2; i+1 < len(a); i += 2 {
			headers = append(headers, [2]string{a[i], a[i+1]})
		}
		s.replied = true
		return proxywasm.SendHttpResponse(uint32(status), headers, []byte(a[1]), -1)
	}},
	// trap [NAME]: if the request had that header, or always
	{"trap", 0, func(_ side, a []string, s *stream) error {
		if len(a) > 0 && !s.asked(a[0]) {
			return nil
		}
		panic("a trap, as it was told to")
	}},
}

func edit(h side, change func([][2]string) [][2]string) error {
	all, err := h.all()
	if err != nil {
		return err
	}
	return h.put(change(all))
}

// parse reads the plugin's configuration.
func parse(text string) (onRequest, onResponse []deed, err error) {
	for _, line := range strings.Split(text, "\n") {
		if line == "" {
			continue
		}
		words := strings.Split(line, " ")
		for i := range words {
			if words[i], err = decode(words[i]); err != nil {
				return nil, nil, errors.New(line + ": " + err.Error())
			}
		}
		if len(words) < 2 {
			return nil, nil, errors.New(line + ": a side and a verb are needed")
		}
		v := find(words[1])
		if v == nil || len(words)-2 < v.least {
			return nil, nil, errors.New(line + ": no such verb, or too few arguments")
		}
		switch d := (deed{v, words[2:]}); words[0] {
		case "request":
			onRequest = append(onRequest, d)
		case "response":
			onResponse = append(onResponse, d)
		default:
			return nil, nil, errors.New(line + ": a side is request or response")
		}
	}
	return onRequest, onResponse, nil
}

func find(name string) *verb {
	for i := range verbs {
		if verbs[i].name == name {
			return &verbs[i]
		}
	}
	return nil
}

// decode undoes percent-encoding; net/url would bring fmt.
func decode(text string) (string, error) {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out = append(out, text[i])
			continue
		}
		if i+3 > len(text) {
			return "", errors.New("cut off")
		}
		b, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		out = append(out, byte(b))
		i += 2
	}
	return string(out), nil
}
