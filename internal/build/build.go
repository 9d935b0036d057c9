// Package build builds the programs that tests run. Tests have no network, so what a build needs must have been fetched
// before: go test fetches it for the packages that it is given.
package build

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Program builds a package of this module into a file. Args are further arguments of go build; env are variables that
// take precedence over those of the test.
func Program(output, pkg string, env []string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", output}, args...), pkg)...)
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false")
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	hint := ""
	if strings.Contains(string(text), "GOPROXY=off") {
		hint = "tests have no network: go build ./... fetches what is missing\n"
	}
	return fmt.Errorf("build %s: %w\n%s%s", pkg, err, text, hint)
}
