package realtime

import (
	"context"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime/phoenix"
)

// closeLoginEnded is the close code of a socket whose login has ended. No code keeps realtime-js from connecting again,
// so its channels are ended for good before.
const closeLoginEnded = 4001

// closeNoChannel is the close code of a socket that has had no channel for too long: see socket.unused.
const closeNoChannel = 4002

// Publish delivers e to the channels of its topic. One goroutine calls it, in the order of the log, after the entry can be
// read from Config.History. It never blocks on a client.
func (s *Server) Publish(e Entry) {
	if r := s.hub.find(roomKey{e.Topic, true}); r != nil {
		r.publish(&e)
	}
}

// Reauthorize stops every channel that matches and asks for its grant again. When it returns, nothing more is handed to
// those channels; each then goes on where it stopped, or is ended with phx_close. A channel whose first grant is being
// asked for meanwhile asks again. match must not call the server. Whatever Authorize caches must be invalidated before.
func (s *Server) Reauthorize(match func(Member) bool) {
	s.revoked.Add(1)
	for _, k := range s.connected() {
		for _, c := range k.all() {
			if m, ok := c.member(); ok && match(m) {
				c.suspend()
			}
		}
	}
	s.at("suspended")
}

// EndLogin ends every channel of a login for good, and its sockets unless another login has channels on them. A join of
// the login that is being authorised meanwhile is refused.
func (s *Server) EndLogin(loginID string) {
	s.revoked.Add(1)
	for _, k := range s.connected() {
		ended, others := 0, 0
		for _, c := range k.all() {
			m, ok := c.member()
			if !ok || m.LoginID != loginID {
				others++
				continue
			}
			ended++
			c.end(phoenix.EventClose, fault{CodeLoginEnded, "This login has ended: sign in again"})
		}
		if ended > 0 && others == 0 {
			k.finish(closeLoginEnded, "login ended")
		}
	}
}

// Logins lists the logins that have channels, each once and in no order, for whoever must poll which of them have ended and
// give those to EndLogin. A login is listed from the moment its token was verified, before its first grant, until its last
// channel ends; an identity without a LoginID is not.
func (s *Server) Logins() []string {
	seen := make(map[string]bool)
	var logins []string
	for _, k := range s.connected() {
		for _, c := range k.all() {
			if m, ok := c.member(); ok && m.LoginID != "" && !seen[m.LoginID] {
				seen[m.LoginID] = true
				logins = append(logins, m.LoginID)
			}
		}
	}
	return logins
}

// ResetHistory is called when the log's epoch has changed: durable channels end with phx_error, and the join that follows
// is told recovered: false.
func (s *Server) ResetHistory() {
	for _, k := range s.connected() {
		for _, c := range k.all() {
			if c.durable {
				c.end(phoenix.EventError, fault{CodeLogEpochChanged, "The log was made anew: join again"})
			}
		}
	}
}

func (s *Server) connected() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*socket, 0, len(s.sockets))
	for k := range s.sockets {
		all = append(all, k)
	}
	return all
}

// Run waits for ctx to end, then drains: no new sockets, phx_error to every channel, each queue flushed, close 1012. It
// returns when all sockets have ended; those that take longer than Timing.DrainWithin are cut. While it runs, other nodes
// are heard.
func (s *Server) Run(ctx context.Context) error {
	end := s.hub.link.begin()
	defer end()
	<-ctx.Done()
	s.hub.link.bye()
	s.mu.Lock()
	if !s.ending {
		s.ending = true
		close(s.stopping)
	}
	empty := make(chan struct{})
	if s.held == 0 {
		close(empty)
	} else {
		s.empty = empty
	}
	s.mu.Unlock()
	for _, k := range s.connected() {
		for _, c := range k.all() {
			c.end(phoenix.EventError, errRestarting)
		}
		k.finish(websocket.CloseServiceRestart, "restarting")
	}
	deadline := time.NewTimer(s.timing.DrainWithin)
	defer deadline.Stop()
	select {
	case <-empty:
		return nil
	case <-deadline.C:
	}
	cut := s.connected()
	s.log.WarnContext(ctx, "sockets did not drain in time", logCount, len(cut))
	for _, k := range cut {
		k.cut()
	}
	<-empty
	return nil
}
