package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"vigil/server/pgtest"
	"vigil/server/standin"
)

// The ports that are taken when they are free: the Supabase CLI's for its gateway, and the sidecar's own.
const (
	standinPort  = 54321
	sidecarPort  = 8788
	operatorPort = 8789
)

// hook is the access-token hook that supabase/config.toml turns on.
const hook = "private.custom_access_token_hook"

// project is the running stand-in. ended gets the error of its Serve, once.
type project struct {
	url    string
	server *standin.Server
	cancel context.CancelFunc
	ended  chan error
	log    *os.File

	console atomic.Pointer[string] // where pages lead to; nil until it is known
	unpaged error                  // why no function runs here; nil: they do
}

func (s *stack) startStandin(ctx context.Context) (string, error) {
	listener, err := listen(s.options.standinPort, standinPort, s.options.throwaway)
	if err != nil {
		return "", err
	}
	keys, err := standin.LoadKeys(filepath.Join(s.data, "standin-keys.json"))
	if err != nil {
		return "", errors.Join(err, listener.Close())
	}
	log, err := os.OpenFile(filepath.Join(s.data, "standin.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", errors.Join(fmt.Errorf("open the stand-in's log: %w", err), listener.Close())
	}
	p := &project{url: "http://" + listener.Addr().String(), ended: make(chan error, 1), log: log}
	p.server, err = standin.New(standin.Config{
		URL:             p.url,
		AuthDatabaseURL: s.cluster.URL(pgtest.RoleAuth, database),
		RestDatabaseURL: s.cluster.URL(pgtest.RoleAPI, database),
		Keys:            keys,
		Hook:            hook,
		Functions:       s.functions(p, log),
		Log:             slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		return "", errors.Join(err, listener.Close(), log.Close())
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	go func() { p.ended <- p.server.Serve(serving, listener) }() // stop waits for it
	s.supabase = p
	return p.url, nil
}

// functions are the edge functions, where Deno is there to run them.
func (s *stack) functions(p *project, log *os.File) standin.Functions {
	deno, err := standin.FindDeno(s.root)
	if err != nil {
		p.unpaged = err
		return standin.Functions{}
	}
	return standin.Functions{Deno: deno, Dir: filepath.Join(s.root, "functions"), Open: []string{"notify"}, Output: log, Env: func() []string {
		if console := p.console.Load(); console != nil {
			return []string{"CONSOLE_URL=" + *console}
		}
		return nil
	}}
}

// pages says where pages can be seen, or why there are none.
func (p *project) pages() (where, remark string) {
	if p.unpaged != nil {
		return "nobody is paged here", "   (" + p.unpaged.Error() + ")"
	}
	return p.url + "/standin/pages", "   (a development pager: what notify sent; e-mails are at /standin/emails)"
}

func (p *project) stop() error {
	p.cancel()
	return errors.Join(<-p.ended, p.log.Close())
}

// listen takes the asked-for port or fails; else the preferred one or, where that is taken, any.
func listen(asked, preferred int, anyFree bool) (net.Listener, error) {
	address := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	if asked != 0 {
		l, err := net.Listen("tcp", address(asked))
		if err != nil {
			return nil, fmt.Errorf("127.0.0.1:%d is taken by another program: stop that one, or ask for another port: %w", asked, err)
		}
		return l, nil
	}
	if !anyFree {
		if l, err := net.Listen("tcp", address(preferred)); err == nil {
			return l, nil
		}
	}
	l, err := net.Listen("tcp", address(0))
	if err != nil {
		return nil, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
	}
	return l, nil
}

// freeAddress is an address that a program of ours will listen on in a moment.
func freeAddress(asked, preferred int, anyFree bool) (string, error) {
	l, err := listen(asked, preferred, anyFree)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
