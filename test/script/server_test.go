package script

import (
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// server is the HTTP server that a script has checked; the script sets its answer. It keeps its address when it is shut
// and served again.
type server struct {
	address string
	http    *http.Server
	served  chan struct{}
	code    atomic.Int32
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	s := named(ts, "serve NAME", neg, args, 1)
	if s.http != nil {
		ts.Fatalf("%s is served already", args[0])
	}
	listener, err := net.Listen("tcp", s.address)
	ts.Check(err)
	s.address = listener.Addr().String()
	ts.Setenv(args[0], s.address)
	_, port, _ := net.SplitHostPort(s.address)
	ts.Setenv(args[0]+"_PORT", port)
	s.code.Store(http.StatusOK)
	s.served = make(chan struct{})
	s.http = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(s.code.Load())) }),
		ReadHeaderTimeout: time.Minute,
	}
	go func(server *http.Server, served chan<- struct{}) {
		defer close(served)
		_ = server.Serve(listener) // ends with shut
	}(s.http, s.served)
}

func (s *server) shut() {
	if s.http == nil {
		return
	}
	_ = s.http.Close()
	<-s.served
	s.http = nil
}

func answer(ts *testscript.TestScript, neg bool, args []string) {
	s := named(ts, "answer NAME CODE", neg, args, 2)
	code, err := strconv.Atoi(args[1])
	ts.Check(err)
	s.code.Store(int32(code))
}

func shut(ts *testscript.TestScript, neg bool, args []string) {
	named(ts, "shut NAME", neg, args, 1).shut()
}

func named(ts *testscript.TestScript, usage string, neg bool, args []string, count int) *server {
	if neg || len(args) != count {
		ts.Fatalf("usage: %s", usage)
	}
	servers := of(ts).servers
	if servers[args[0]] == nil {
		servers[args[0]] = &server{address: "127.0.0.1:0"}
	}
	return servers[args[0]]
}
