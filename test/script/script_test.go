package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	_ "github.com/koine-sd/koine/daemon" // what is built: a change of it is a reason to test again
	"github.com/koine-sd/koine/engine/enginetest"
	gobuild "github.com/koine-sd/koine/internal/build"
	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/needs"
)

// programs are those that scripts find in their PATH, besides koine.
var programs = map[string]func(){"await": await, "dig": dig, "http": request, "json": objects}

func TestMain(m *testing.M) {
	if programs[filepath.Base(os.Args[0])] != nil { // a script runs us as one of them
		testscript.Main(m, programs)
	}
	dockertest.Main(scripts{m})
}

// scripts are the tests, with the programs in their PATH.
type scripts struct{ m *testing.M }

func (s scripts) Run() int {
	testscript.Main(s.m, programs) // it exits
	return 1
}

// builtVersion is what koine version prints.
const builtVersion = "1.2.3-script"

// needsOwnStore are the scripts that do not depend on a store elsewhere, or are about the embedded one.
var needsOwnStore = []string{"cli", "config", "datadir", "engine", "files_restart", "fish", "listeners", "zsh"}

func TestScripts(t *testing.T) {
	bin := t.TempDir()
	build(t, bin)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	t.Run("embedded", func(t *testing.T) {
		testscript.Run(t, params(bin, "", files))
	})
	t.Run("etcd", func(t *testing.T) {
		for _, file := range files {
			if slices.Contains(needsOwnStore, strings.TrimSuffix(filepath.Base(file), ".txtar")) {
				continue
			}
			t.Run("plain", func(t *testing.T) {
				t.Parallel()
				testscript.Run(t, params(bin, "etcd://"+enginetest.Etcd(t), []string{file}))
			})
		}
	})
}

// command is the tested program.
const command = "../../cmd/koine"

// build builds koine, with the race detector if the test has it too.
func build(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.ReadDir(command); err != nil { // go test's cache sees what the test reads, not what go build reads
		t.Fatal(err)
	}
	flags := "-X main.version=" + builtVersion + " -X main.commitDate=2026-01-02T03:04:05Z"
	args := []string{"-ldflags", flags}
	if race {
		args = append(args, "-race")
	}
	if err := gobuild.Program(filepath.Join(dir, "koine"), command, nil, args...); err != nil {
		t.Fatal(err)
	}
}

// params returns the parameters of the scripts; an engine that is not empty is the store of every daemon.
func params(bin, engine string, files []string) testscript.Params {
	return testscript.Params{
		Files:              files,
		RequireUniqueNames: true,
		Condition: func(condition string) (bool, error) {
			switch condition {
			case "etcd":
				return engine != "", nil
			case "ipv6":
				return hasIPv6()
			default:
				return false, fmt.Errorf("unknown condition %s", condition)
			}
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second at the end of each command otherwise
			if engine != "" {
				env.Setenv("KOINE_ENGINE", engine)
			}
			s := &script{work: env.WorkDir, processes: make(map[string]*process), servers: make(map[string]*server)}
			env.Values[scriptKey{}] = s
			env.Defer(func() { s.close(env.T()) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": startDaemon, "start": startProgram, "term": term, "end": end, "hup": hup, "kill9": kill9,
			"exits": exits, "serve": serve, "answer": answer, "shut": shut,
		},
	}
}

// hasIPv6 reports whether this host has a loopback address of that family. If everything is required, it must have one.
func hasIPv6() (bool, error) {
	has := needs.HasIPv6()
	if !has && needs.All() {
		return false, errors.New(needs.RequireAll + "=1, but this host has no IPv6 loopback address")
	}
	return has, nil
}
