package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestParseSettings(t *testing.T) {
	known := []string{"dc", "node", "upstream"}
	for _, test := range []struct {
		name, text string
		want       map[string]setting
		err        string
	}{
		{name: "nothing"},
		{name: "only a comment", text: "# later\n"},
		{name: "plain", text: "dc: east", want: map[string]setting{"dc": {"east", "config f:1: dc"}}},
		{name: "a number stays as it is written", text: "node: 010", want: map[string]setting{"node": {"010", "config f:1: node"}}},
		{name: "so does a word that YAML 1.1 took for a truth", text: "dc: off", want: map[string]setting{"dc": {"off", "config f:1: dc"}}},
		{name: "quoted nothing is a value", text: `dc: ""`, want: map[string]setting{"dc": {"", "config f:1: dc"}}},
		{name: "list", text: "\nupstream: [a, 1]", want: map[string]setting{"upstream": {"a,1", "config f:2: upstream"}}},
		{name: "empty list", text: "upstream: []", want: map[string]setting{"upstream": {"", "config f:1: upstream"}}},
		{name: "no value", text: "dc:", err: "config f:1: dc: must be one value or a list of them"},
		{name: "mapping", text: "dc: {a: b}", err: "config f:1: dc: must be one value or a list of them"},
		{name: "list of lists", text: "upstream: [[a]]", err: "config f:1: upstream: must be a list of plain values"},
		{name: "alias", text: "node: &a x\ndc: *a", err: "config f:2: dc: must be one value or a list of them"},
		{name: "unknown", text: "dc: a\n\nnod: x", err: `config f:3: no setting "nod": did you mean node?`},
		{name: "nothing like it", text: "colour: x", err: `config f:1: no setting "colour": settings are dc, node, upstream`},
		{name: "a key that is no text", text: "[a]: x", err: `config f:1: no setting "": settings are dc, node, upstream`},
		{name: "twice", text: "dc: a\ndc: b", err: "config f:2: dc is given twice"},
		{name: "not a mapping", text: "- dc", err: "config f:1: not a mapping: write settings as data_dir: /var/lib/koine"},
		{name: "not YAML", text: "dc: [", err: "config f:2:1: did not find expected node content"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseSettings("f", []byte(test.text), known)
			if text(err) != test.err {
				t.Errorf("error %q, want %q", text(err), test.err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(setting{})); diff != "" && test.err == "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte("dc: a\nupstream: [b, c]\n"))
	f.Add([]byte("? [a]\n: &x {<<: *x}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		settings, err := parseSettings("f", raw, []string{"dc", "upstream"})
		if err != nil && !strings.HasPrefix(err.Error(), "config f:") {
			t.Errorf("error does not name the file: %v", err)
		}
		for key := range settings {
			if key != "dc" && key != "upstream" {
				t.Errorf("unknown key %q was taken", key)
			}
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestSettings holds that the flags of koine dev can be set in the environment and the file, and no others: the flags
// of one command line must not.
func TestSettings(t *testing.T) {
	keys := knownKeys(newRoot())
	for _, want := range []string{"http", "dns", "data_dir", "config_dir", "engine", "docker", "upstream", "node", "zone"} {
		if !slices.Contains(keys, want) {
			t.Errorf("no setting %s", want)
		}
	}
	for _, no := range []string{
		"config", "help", "version", "output", "ttl", "tag", "meta", "undo", "stop", "reason", "health", "once", "follow", "as", "id",
	} {
		if slices.Contains(keys, no) {
			t.Errorf("%s is a setting", no)
		}
	}
}

// TestNoSettings holds that the environment changes nothing of a command except its settings.
func TestNoSettings(t *testing.T) {
	for _, name := range []string{"NODE", "TAG", "UNDO", "STOP", "OUTPUT", "TTL", "ZONE", "HEALTH", "ONCE", "DOCKER", "ADVERTISE"} {
		t.Setenv("KOINE_"+name, "true")
	}
	t.Setenv("KOINE_HTTP", "192.0.2.1:1")
	root := newRoot()
	for _, cmd := range allCommands(root) {
		if cmd.Name() == "dev" || strings.HasPrefix(cmd.CommandPath(), "koine completion") {
			continue
		}
		_ = cmd.ParseFlags(nil) // which gives it the flags of all commands
		if err := applySettings(cmd); err != nil {
			t.Errorf("%s: %v", cmd.CommandPath(), err)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			dryRun := cmd.Name() == "explain" && (f.Name == "docker" || f.Name == "advertise")
			if f.Changed != (f.Name == "http" || dryRun) {
				t.Errorf("%s: the environment sets --%s to %q: %t", cmd.CommandPath(), f.Name, f.Value, f.Changed)
			}
		})
	}
}

func TestMisspelt(t *testing.T) {
	environment := []string{
		"KOINE_DATADIR=x", "KOINE_DATA_DIR=x", "KOINE_HTPP=x", "KOINE_CONFIG=x", "KOINE_CONFIGDIR=x", "KOINE_LOGLEVEL=x", "PATH=x",
		// Variables that koine watch, Kubernetes and others set.
		"KOINE_SERVICE=x", "KOINE_REVISION=1", "KOINE_PORT=tcp://10.0.0.1:8500", "KOINE_SERVICE_HOST=x", "KOINE_PORT_8500_TCP=x",
		"KOINE_REQUIRE_ALL=1", "KOINE_=x",
	}
	for command, want := range map[string][]string{
		"dev": {
			"KOINE_CONFIGDIR is not a setting: did you mean KOINE_CONFIG_DIR?",
			"KOINE_DATADIR is not a setting: did you mean KOINE_DATA_DIR?",
			"KOINE_HTPP is not a setting: did you mean KOINE_HTTP?",
			"KOINE_LOGLEVEL is not a setting: did you mean KOINE_LOG_LEVEL?",
		},
		"lookup": {"KOINE_HTPP is not a setting: did you mean KOINE_HTTP?"},
	} {
		cmd, _, err := newRoot().Find([]string{command})
		if err != nil {
			t.Fatal(err)
		}
		_ = cmd.ParseFlags(nil)
		if diff := cmp.Diff(want, misspelt(cmd, environment)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", command, diff)
		}
	}
}

func TestDoor(t *testing.T) {
	for _, test := range []struct{ value, want, err string }{
		{"", "192.0.2.1:8500", ""},
		{":9", "192.0.2.1:9", ""},
		{"127.0.0.1:9", "127.0.0.1:9", ""},
		{"[::1]:9", "[::1]:9", ""},
		{"off", "off", ""},
		{"9", "", `--http "9" is not host:port`},
		{"::1:9:", "", `--http "::1:9:" is not host:port`},
		{"::1", "", `--http "::1" is not host:port: write it as [::1]:8500`},
		{"10.0.0.1", "", `--http "10.0.0.1" is not host:port: write it as 10.0.0.1:8500`},
	} {
		cmd := &cobra.Command{}
		cmd.Flags().String("http", test.value, "")
		got, err := listenAddress(cmd, "http", "192.0.2.1", "8500")
		if got != test.want || text(err) != test.err {
			t.Errorf("address %q is %q, %q; want %q, %q", test.value, got, text(err), test.want, test.err)
		}
	}
	cmd := &cobra.Command{}
	cmd.Flags().String("http", "", "")
	if got, _ := listenAddress(cmd, "http", "::1", "8500"); got != "[::1]:8500" {
		t.Errorf("address bound to ::1 is %q", got)
	}
}
