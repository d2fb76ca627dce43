// Sends GET requests over N kept-alive connections for D seconds, or until SIGTERM, to this machine only, and prints what became
// of them as JSON. Each carries in x-sent-ns when it was sent.
// Not a general tool: it reads HTTP/1.1 answers that have a Content-Length, and spends little on each, because what it measures
// runs on the same cores.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxSeconds     = 30.0
	maxConnections = 256
	markEvery      = 10 * time.Millisecond
	patience       = 10 * time.Second
)

// What was measured. Marks are pairs of the time since the epoch in seconds, and how many requests were answered by then.
type result struct {
	Requests uint64       `json:"requests"`
	Errors   uint64       `json:"errors"`
	Error    string       `json:"error"`
	Marks    [][2]float64 `json:"marks"`
}

type load struct {
	address string
	path    string
	until   time.Time
	left    atomic.Int64
	done    atomic.Uint64
	failed  atomic.Uint64
	problem atomic.Value
}

func main() {
	address := flag.String("address", "", "`host:port`, on the loopback interface")
	path := flag.String("path", "/", "what to ask for")
	connections := flag.Int("connections", 32, "how many connections")
	seconds := flag.Float64("seconds", 1, "how long")
	count := flag.Int64("count", 1_000_000, "how many requests at most")
	flag.Parse()
	host, _, err := net.SplitHostPort(*address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		fail("-address must be an address of the loopback interface and a port")
	}
	if *seconds <= 0 || *seconds > maxSeconds || *connections < 1 || *connections > maxConnections {
		fail(fmt.Sprintf("at most %v seconds and %d connections", maxSeconds, maxConnections))
	}
	encoded, err := json.Marshal(run(*address, *path, *connections, *seconds, *count))
	if err != nil {
		fail(err.Error())
	}
	fmt.Println(string(encoded))
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, "load:", reason)
	os.Exit(2)
}

func run(address, path string, connections int, seconds float64, count int64) result {
	l := &load{address: address, path: path, until: time.Now().Add(time.Duration(seconds * float64(time.Second)))}
	l.left.Store(count)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	var workers sync.WaitGroup
	for range connections {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for l.goesOn() {
				if err := l.talk(); err != nil {
					l.failed.Add(1)
					l.problem.Store(err.Error())
				}
			}
		}()
	}
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	marks := [][2]float64{l.mark()}
	ticker := time.NewTicker(markEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			marks = append(marks, l.mark())
		case <-stop:
			l.left.Store(0)
		case <-ended:
			problem, _ := l.problem.Load().(string)
			return result{Requests: l.done.Load(), Errors: l.failed.Load(), Error: problem, Marks: append(marks, l.mark())}
		}
	}
}

func (l *load) mark() [2]float64 {
	return [2]float64{float64(time.Now().UnixNano()) / 1e9, float64(l.done.Load())}
}

func (l *load) goesOn() bool {
	return time.Now().Before(l.until) && l.left.Load() > 0
}

// One connection, until the load is over or something goes wrong.
func (l *load) talk() error {
	connection, err := net.DialTimeout("tcp", l.address, patience)
	if err != nil {
		time.Sleep(markEvery)
		return err
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	head := "GET " + l.path + " HTTP/1.1\r\nHost: " + l.address + "\r\nX-Sent-Ns: "
	request := make([]byte, 0, len(head)+32)
	for l.goesOn() && l.left.Add(-1) >= 0 {
		now := time.Now()
		request = append(strconv.AppendInt(append(request[:0], head...), now.UnixNano(), 10), "\r\n\r\n"...)
		if err := connection.SetDeadline(now.Add(patience)); err != nil {
			return err
		}
		if _, err := connection.Write(request); err != nil {
			return err
		}
		if err := readAnswer(reader); err != nil {
			return err
		}
		l.done.Add(1)
	}
	return nil
}

func readAnswer(reader *bufio.Reader) error {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), "HTTP/1.1 200 ") {
		return fmt.Errorf("answered %q", strings.TrimSpace(string(line)))
	}
	length := -1
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		if strings.EqualFold(name, "content-length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answered without a Content-Length")
	}
	_, err = reader.Discard(length)
	return err
}
