package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// endAfter is how long a program may take to end once it was asked to.
const endAfter = 20 * time.Second

// command prepares a program below the repository. When ctx ends it is asked to stop (Ctrl-C), and killed if it does not.
func (s *suite) command(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join(s.root, filepath.FromSlash(folder))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = endAfter
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	return cmd
}

// call runs a program and shows what it prints.
func (s *suite) call(ctx context.Context, folder, name string, args ...string) error {
	cmd := s.command(ctx, folder, name, args...)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	return cmd.Run()
}

// lines runs a program and hands its standard output to read, which must read it to its end.
func (s *suite) lines(cmd *exec.Cmd, read func(io.Reader) error) error {
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = s.out
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := read(pipe)
	if err := cmd.Wait(); err != nil {
		return err
	}
	return readErr
}

func (s *suite) exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(append([]string{s.root}, path...)...))
	return err == nil
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
