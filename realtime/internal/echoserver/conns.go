package main

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// conn is a connection that can fall silent: what is written then goes nowhere, as behind a router that has forgotten it.
type conn struct {
	net.Conn

	silent atomic.Bool
}

func (c *conn) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// breakable makes every connection of a listener a conn.
type breakable struct{ net.Listener }

func (l breakable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net/http compares it
	}
	return &conn{Conn: c}, nil
}

// sockets remembers the connections that became WebSockets, so that a test can break them.
type sockets struct {
	mu    sync.Mutex
	conns []*conn
}

func (s *sockets) note(c net.Conn, state http.ConnState) {
	if own, ok := c.(*conn); ok && state == http.StateHijacked {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = append(s.conns, own)
	}
}

// cut ends them.
func (s *sockets) cut() {
	for _, c := range s.take() {
		_ = c.Close() // many have ended already
	}
}

// silence lets those that are open now carry nothing more to their clients.
func (s *sockets) silence() {
	for _, c := range s.take() {
		c.silent.Store(true)
	}
}

func (s *sockets) take() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.conns
	s.conns = nil
	return all
}
