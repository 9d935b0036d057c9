package script

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// programTimeout bounds one exchange.
const programTimeout = 5 * time.Second

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
	client := dns.Client{Net: network, Timeout: programTimeout}
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
	client := http.Client{Timeout: programTimeout}
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

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(2)
}
