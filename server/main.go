// Command vigil keeps watch over therapy sessions beside a Supabase project. `vigil help` lists what it can do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"vigil/server/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Process{Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}
