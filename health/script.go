package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// outputGrace bounds the reading of output after the end of a script, in case a process that left the script's group holds
// it open.
const outputGrace = time.Second

func probeScript(ctx context.Context, def *catalog.Definition) Result {
	read, write, err := os.Pipe()
	if err != nil {
		return critical("open pipe: %v", err)
	}
	defer func() { _ = read.Close() }()
	cmd := exec.CommandContext(ctx, def.Args[0], def.Args[1:]...)
	// A file of ours and not a writer: otherwise Wait would wait for every process that inherited the output.
	cmd.Stdout, cmd.Stderr = write, write
	ownGroup(cmd)
	err = cmd.Start()
	_ = write.Close() // the script has its own
	if err != nil {
		return critical("start script: %v", err)
	}
	var output head
	copied := make(chan struct{})
	go drain(&output, read, copied)
	err = cmd.Wait()
	killGroup(cmd)
	_ = read.SetReadDeadline(time.Now().Add(outputGrace))
	<-copied
	return scriptResult(ctx, def, err, string(output.kept))
}

// drain reads all output of a script, so that it never blocks on a full pipe, and keeps the head of it.
func drain(output *head, from io.Reader, copied chan<- struct{}) {
	defer close(copied)
	// The end of a pipe is an error only if the grace is over; the output so far then counts.
	_, _ = io.Copy(output, from)
}

func scriptResult(ctx context.Context, def *catalog.Definition, err error, output string) Result {
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return Result{catalog.Passing, output}
	case ctx.Err() != nil:
		return Result{catalog.Critical, fmt.Sprintf("script %s\n%s", reason(ctx.Err(), def), output)}
	case exited && exit.ExitCode() == 1:
		return Result{catalog.Warning, output}
	case exited && output != "":
		return Result{catalog.Critical, output}
	}
	return critical("script ended with %v", err)
}
