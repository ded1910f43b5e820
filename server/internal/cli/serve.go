package cli

import (
	"context"
	"flag"

	"vigil/server/internal/app"
	"vigil/server/internal/config"
	"vigil/server/internal/logkey"
	"vigil/server/internal/telemetry"
)

// serve runs the sidecar until ctx ends.
func serve(ctx context.Context, p Process, fs *flag.FlagSet) int {
	roles := fs.String("roles", "", "what this process does; VIGIL_ROLES says more")
	if _, code, done := parse(p, fs, 0); done {
		return code
	}
	getenv := p.Getenv
	if *roles != "" {
		getenv = func(name string) string {
			if name == "VIGIL_ROLES" {
				return *roles
			}
			return p.Getenv(name)
		}
	}
	c, err := config.Parse(getenv)
	if err != nil {
		say(p.Stderr, "vigil serve: the configuration has faults:\n%v\n\n.env.example says what each variable holds.\n", err)
		return ExitUsage
	}
	log := telemetry.NewLogger(p.Stderr, c.LogLevel, c.LogFormat)
	log.InfoContext(ctx, "starting", logkey.Version, Version())
	if err := app.Serve(ctx, c, log); err != nil {
		log.ErrorContext(ctx, "stopped with an error", logkey.Error, err.Error())
		return ExitFail
	}
	log.InfoContext(ctx, "stopped")
	return ExitOK
}
