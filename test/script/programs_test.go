package script

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/eventually"
)

// dig asks the name server at $DNS.
func dig() {
	question, kind, network := "", dns.TypeA, "udp"
	for _, arg := range os.Args[1:] {
		switch t, isType := dns.StringToType[arg]; {
		case arg == "+tcp":
			network = "tcp"
		case question == "":
			question = dns.Fqdn(arg)
		case isType:
			kind = t
		default:
			fail("unknown type %s", arg)
		}
	}
	message := new(dns.Msg).SetQuestion(question, kind)
	client := dns.Client{Net: network, Timeout: eventually.Patience}
	reply, _, err := client.Exchange(message, os.Getenv("DNS"))
	if err != nil {
		fail("%v", err)
	}
	fmt.Fprintln(os.Stderr, dns.RcodeToString[reply.Rcode])
	var answers []string
	for _, rr := range reply.Answer {
		answers = append(answers, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	if len(answers) == 0 {
		os.Exit(1)
	}
	slices.Sort(answers)
	fmt.Println(strings.Join(answers, "\n"))
}

// request makes an HTTP request of the server at $KOINE_HTTP.
func request() {
	if len(os.Args) < 3 {
		fail("usage: http METHOD PATH [BODY]")
	}
	body := strings.Join(os.Args[3:], " ")
	r, err := http.NewRequest(os.Args[1], "http://"+os.Getenv("KOINE_HTTP")+os.Args[2], strings.NewReader(body))
	if err != nil {
		fail("%v", err)
	}
	client := http.Client{Timeout: eventually.Patience}
	response, err := client.Do(r)
	if err != nil {
		fail("%v", err)
	}
	defer response.Body.Close()
	fmt.Fprintln(os.Stderr, response.Status)
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		fail("%v", err)
	}
	if response.StatusCode >= 400 {
		os.Exit(1)
	}
}

// objects expects one JSON object on each line of a log, and prints their messages.
func objects() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		fail("%v", err)
	}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line struct{ Time, Level, Msg string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Time == "" || line.Level == "" {
			fail("%s: %v", lines.Bytes(), err)
		}
		fmt.Println(line.Msg)
	}
	if err := lines.Err(); err != nil {
		fail("%v", err)
	}
}

// The pauses between two tries of await.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// await runs a program again and again until its outcome is the expected one. It prints the output of the last try.
func await() {
	var w waiting
	flags := flag.NewFlagSet("await", flag.ExitOnError)
	flags.Func("out", "`regexp` that what is printed has to match", func(text string) (err error) {
		w.pattern, err = regexp.Compile("(?m)" + text)
		return err
	})
	_ = flags.Parse(os.Args[1:]) // it exits
	w.command = flags.Args()
	if len(w.command) > 0 && w.command[0] == "!" {
		w.fails, w.command = true, w.command[1:]
	}
	if len(w.command) == 0 {
		fail("usage: await [-out REGEXP] [!] PROGRAM [ARG...]")
	}
	begun, came := time.Now(), false
	for pause := firstPause; !came && time.Since(begun) < eventually.Patience; pause = min(2*pause, lastPause) {
		if came = w.try(); !came {
			<-time.After(pause)
		}
	}
	os.Stdout.Write(w.stdout.Bytes())
	os.Stderr.Write(w.stderr.Bytes())
	if !came {
		fail("waited in vain for %v: %v", eventually.Patience, w.outcome)
	}
}

// waiting is the outcome that await waits for, and the result of its last try.
type waiting struct {
	command        []string
	fails          bool
	pattern        *regexp.Regexp
	stdout, stderr bytes.Buffer
	outcome        error
}

// try runs the program once, and reports whether its outcome is the expected one.
func (w *waiting) try() bool {
	w.stdout.Reset()
	w.stderr.Reset()
	cmd := exec.Command(w.command[0], w.command[1:]...)
	cmd.Stdout, cmd.Stderr = &w.stdout, &w.stderr
	w.outcome = cmd.Run()
	if errors.Is(w.outcome, exec.ErrNotFound) {
		fail("%v", w.outcome)
	}
	return (w.outcome != nil) == w.fails && (w.pattern == nil || w.pattern.Match(w.stdout.Bytes()))
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(2)
}
