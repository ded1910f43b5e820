package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	fanClients  = 1000
	dialsAtOnce = 128
	fanVigil    = "vigil"
	fanPeer     = "centrifuge"
	fanBare     = "gorilla"
)

// audience is many sockets on one server.
type audience struct {
	child   *child
	address string
	sockets []*socket
}

// audience starts a server and opens n sockets on it, each on its channels.
func (b *bench) audience(ctx context.Context, server string, n, buffer int) (*audience, error) {
	c, err := b.child(ctx, server, struct{}{})
	if err != nil {
		return nil, err
	}
	a := &audience{child: c, sockets: make([]*socket, n)}
	if err = c.ask(ctx, &a.address, "address"); err == nil {
		err = a.open(ctx, server, buffer)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *audience) open(ctx context.Context, server string, buffer int) error {
	var g errgroup.Group
	g.SetLimit(dialsAtOnce)
	for i := range a.sockets {
		g.Go(func() (err error) {
			path := map[string]string{fanVigil: phoenixPath("k"), fanPeer: "/", fanBare: "/"}[server]
			if a.sockets[i], err = dial(ctx, a.address, path, buffer); err != nil {
				return err
			}
			return a.sockets[i].listen(server)
		})
	}
	return g.Wait()
}

// listen joins both channels in the server's own protocol.
func (s *socket) listen(server string) error {
	switch server {
	case fanVigil:
		for i, topic := range []string{fanChannel, restChannel} {
			if err := s.join(fmt.Sprint(i+1), topic, "token", ""); err != nil {
				return err
			}
			if _, err := s.joined(nil); err != nil {
				return fmt.Errorf("join %s: %w", topic, err)
			}
		}
	case fanBare:
		if _, err := s.next(); err != nil { // it listens
			return err
		}
	case fanPeer:
		for i, ask := range []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"` + fanChannel + `"}}`, `{"id":3,"subscribe":{"channel":"` + restChannel + `"}}`} {
			if err := s.write(opText, []byte(ask)); err != nil {
				return err
			}
			answer, err := s.next()
			if err != nil {
				return err
			}
			if bytes.Contains(answer, []byte(`"error"`)) || !bytes.Contains(answer, fmt.Appendf(nil, `"id":%d`, i+1)) {
				return fmt.Errorf("centrifuge answered %s", answer)
			}
		}
	}
	return nil
}

func (a *audience) close() {
	for _, s := range a.sockets {
		if s != nil {
			s.close()
		}
	}
	a.child.stop()
}

// count reads until n messages have come to every socket. It does not parse: it counts marks.
func (a *audience) count(ctx context.Context, n int, arrived *atomic.Int64) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range a.sockets {
		g.Go(func() error {
			stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
			defer stop()
			buf := make([]byte, 32<<10)
			kept := 0 // a mark may be cut in two
			for got := 0; got < n; {
				if err := s.conn.SetReadDeadline(time.Now().Add(socketTimeout)); err != nil {
					return err
				}
				m, err := s.r.Read(buf[kept:])
				if err != nil {
					return fmt.Errorf("after %d of %d messages: %w", got, n, err)
				}
				read := buf[:kept+m]
				found := bytes.Count(read, []byte(marker))
				got += found
				arrived.Add(int64(found))
				kept = 0
				if last := read[len(read)-1]; last == marker[0] && !bytes.HasSuffix(read, []byte(marker)) {
					buf[0], kept = last, 1
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// flood has n messages published and counts them at every socket.
func (a *audience) flood(ctx context.Context, n int) (elapsed, cpu time.Duration, err error) {
	var arrived atomic.Int64
	counting, counted := context.WithCancel(ctx)
	defer counted()
	ticking := make(chan error, 1)
	go func() { ticking <- a.credit(counting, &arrived) }() // waited for below
	began := time.Now()
	used, err := during(ctx, a.child.process, func() error {
		if err := a.child.tell("publish", n); err != nil {
			return err
		}
		return a.count(ctx, n, &arrived)
	})
	elapsed = time.Since(began)
	counted()
	return elapsed, used.cpu, errors.Join(err, <-ticking)
}

// credit tells the server how much has arrived, so that nobody's queue overflows.
func (a *audience) credit(ctx context.Context, arrived *atomic.Int64) error {
	const every = 500 * time.Microsecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if now := int(arrived.Load()) / len(a.sockets); now > told {
			told = now
			if err := a.child.tell("credit", now); err != nil {
				return err
			}
		}
	}
}

// measureFanOut publishes to the sidecar's channel server and to its peers, in turn.
func measureFanOut(ctx context.Context, b *bench) (*Result, error) {
	r := &Result{}
	servers := []string{fanVigil, fanPeer, fanBare}
	clients, messages := b.scaled(fanClients, 10), b.scaled(2000, 50)
	b.progress.begin(fmt.Sprintf("%d messages to %d sockets", messages, clients), b.rounds*len(servers))
	for round := range b.rounds {
		for i := range servers {
			server := servers[(i+round)%len(servers)]
			a, err := b.audience(ctx, server, clients, socketBuffer)
			if err != nil {
				return r, fmt.Errorf("%s: %w", server, err)
			}
			elapsed, cpu, err := a.flood(ctx, messages)
			a.close()
			if err != nil {
				return r, fmt.Errorf("%s: %w", server, err)
			}
			deliveries := float64(clients * messages)
			r.add(server, "deliveries", "/s", deliveries/elapsed.Seconds())
			r.add(server, "CPU", "µs/delivery", cpu.Seconds()*1e6/deliveries)
			b.progress.set(round*len(servers) + i + 1)
		}
	}
	r.check("deliveries/s, of centrifuge's", ratios(r.values(fanVigil, "deliveries"), r.values(fanPeer, "deliveries")), "×", false, 1.2)
	r.check("CPU a delivery, of centrifuge's", ratios(r.values(fanVigil, "CPU"), r.values(fanPeer, "CPU")), "×", true, 0.8)
	r.note("%d sockets, %d messages of %d B, at most %d on their way; the clients share the machine with the server", clients, messages, fanBytes, fanWindow)
	r.note("vigil's frames also carry id, seq, prev, epoch and cursor, and each is checked against its channel's grant as it leaves")
	return r, nil
}
