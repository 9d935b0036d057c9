package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSystemdIsTold holds that a unit that is ordered after Koine starts once names can be found, and not before.
func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	k := newKoine(t, "--docker", "off")
	k.launch()
	wantTold(t, socket, "READY=1")
	if health, err := k.client.Health(t.Context()); err != nil || !health.Ready {
		t.Errorf("told that it is ready, and it is %+v, %v", health, err)
	}
	if err := k.stop(); err != nil {
		t.Error(err)
	}
	wantTold(t, socket, "STOPPING=1")
}

func wantTold(t *testing.T, socket *net.UnixConn, want string) {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 4096)
	n, err := socket.Read(message)
	if err != nil || string(message[:n]) != want {
		t.Errorf("systemd gets %q, %v, want %q", message[:n], err, want)
	}
}

// unit reads dist/koine.service: the last value of each key of a section, by "Section.Key".
func unit(t *testing.T) (text string, values map[string]string) {
	t.Helper()
	content, err := os.ReadFile("../dist/koine.service")
	if err != nil {
		t.Fatal(err)
	}
	values = make(map[string]string)
	section := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !assigned:
			t.Errorf("unit: %q is neither a comment nor an assignment", line)
		default:
			values[section+"."+key] = value
		}
	}
	return string(content), values
}

// TestUnit holds what the pages promise of the unit, that its directories are those of its command, and, if systemd is
// installed, that it finds no mistake in it.
func TestUnit(t *testing.T) {
	text, values := unit(t)
	for key, want := range map[string]string{
		"Service.Type": "notify", "Service.NoNewPrivileges": "yes", "Service.ProtectSystem": "strict", "Service.ProtectHome": "yes",
		"Service.PrivateTmp": "yes", "Service.CapabilityBoundingSet": "CAP_NET_BIND_SERVICE", "Service.LimitNOFILE": "65536",
		"Service.SystemCallFilter": "@system-service", "Unit.StartLimitIntervalSec": "0",
	} {
		if values[key] != want {
			t.Errorf("%s=%s, want %s", key, values[key], want)
		}
	}
	command := strings.Fields(values["Service.ExecStart"])
	if len(command) == 0 {
		t.Fatal("the unit has no command")
	}
	flags := make(map[string]string)
	for i := 2; i+1 < len(command); i += 2 {
		flags[command[i]] = command[i+1]
	}
	if flags["--data-dir"] != "/var/lib/"+values["Service.StateDirectory"] || flags["--config-dir"] != "/etc/"+values["Service.ConfigurationDirectory"] {
		t.Errorf("directories %s and %s are not those of %v", values["Service.StateDirectory"], values["Service.ConfigurationDirectory"], flags)
	}
	koine, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(koine, command[1], "--help").CombinedOutput()
	for flag := range flags {
		if err != nil || !strings.Contains(string(help), flag+" ") {
			t.Errorf("koine %s has no %s: %v", command[1], flag, err)
		}
	}
	verifyUnit(t, strings.ReplaceAll(text, command[0], koine))
}

func verifyUnit(t *testing.T, text string) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return
	}
	path := filepath.Join(t.TempDir(), "koine.service")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v: %s", err, out)
	}
}
