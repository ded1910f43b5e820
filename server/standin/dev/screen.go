package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"vigil/server/pgtest"
)

// screen is what the person at the terminal sees: a line a step.
type screen struct{ out io.Writer }

func (s screen) note(text string) { fmt.Fprintln(s.out, text) }

// step names a step, runs it, and ends the line with how it went.
func (s screen) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	began := time.Now()
	fmt.Fprintf(s.out, "  %-24s", name+" …")
	result, err := do(ctx)
	if err != nil {
		fmt.Fprintln(s.out, "failed")
		return err
	}
	fmt.Fprintf(s.out, "%s (%.1fs)\n", result, time.Since(began).Seconds())
	return nil
}

// introduce prints where everything is, and who can sign in.
func (s *stack) introduce(ctx context.Context) error {
	people, err := s.demoPeople(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("\nVigil runs.\n\n")
	line := func(name, value, remark string) { fmt.Fprintf(&b, "  %-16s  %s%s\n", name, value, remark) }
	if s.sidecar != nil {
		line("sidecar", s.sidecar.url, "   (sockets at /realtime/v1 and /socket; metrics at "+s.sidecar.operator+"/metrics)")
	}
	line("Supabase", s.supabase.url, "   (a stand-in: Auth, REST and Storage; its mail is at /standin/mail)")
	where, remark := s.supabase.pages()
	line("pages", where, remark)
	line("publishable key", s.supabase.server.PublishableKey(), "")
	line("secret key", s.supabase.server.SecretKey(), "")
	line("Postgres", s.cluster.URL(pgtest.RoleOwner, database), "")
	if s.options.noSidecar {
		b.WriteString("\nTo start the sidecar (`go run ./server serve`), set:\n\n  " + strings.Join(s.environment(), "\n  ") + "\n")
	}
	if s.demo != nil {
		fmt.Fprintf(&b, "\nIn another terminal:  set -a; . %s; set +a; %s doctor   (or: replay -h)\n", s.shown(s.variables()), s.shown(s.program()))
		b.WriteString("\nOpen:\n\n")
		line("the demo", s.demo.url, "   (start it, then pull the plug)")
		line("the console", s.demo.console, "")
	}
	fmt.Fprintf(&b, "\nDemo people; everybody's password is %s:\n\n", demoPassword)
	for _, p := range people {
		fmt.Fprintf(&b, "  %-18s %-11s %s\n", p.Email, p.Role, p.Name)
	}
	b.WriteString("\nCtrl-C stops everything. What is stored is kept; `go tool task db:reset` removes it.")
	s.screen.note(b.String())
	return nil
}
