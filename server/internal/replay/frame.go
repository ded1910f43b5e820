package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"vigil/realtime/phoenix"
)

// How long after a refusal a topic is joined again.
const (
	rejoinPause = 200 * time.Millisecond
	refusedWait = time.Second
)

// handle acts on one frame. An error ends the connection.
func (s *socket) handle(ctx context.Context, m phoenix.Message, at time.Time) error {
	s.mu.Lock()
	c, ok := s.channels[strings.TrimPrefix(m.Topic, phoenix.TopicPrefix)]
	stale := ok && m.JoinRef != "" && m.JoinRef != c.ref
	s.mu.Unlock()
	if !ok || stale {
		return nil // left, or of an earlier join
	}
	switch m.Event {
	case phoenix.EventReply:
		return s.replied(c, m)
	case phoenix.EventBroadcast:
		return s.heard(c, m.Payload, at)
	case phoenix.EventSystem:
		return s.system(ctx, c, m.Payload)
	case phoenix.EventError: // come back, and go on where it stopped
		s.mu.Lock()
		defer s.mu.Unlock()
		c.ref, c.rejoinAt = "", at.Add(jitter(rejoinPause))
	case phoenix.EventClose: // do not come back
		s.mu.Lock()
		defer s.mu.Unlock()
		c.settle(fmt.Errorf("the sidecar closed the %s channel for good", kindOf(c.topic)))
	}
	return nil
}

// replied reads the answer to a join; others need no action.
func (s *socket) replied(c *channel, m phoenix.Message) error {
	var reply struct {
		Status   string `json:"status"`
		Response struct {
			Reason string `json:"reason"`
		} `json:"response"`
	}
	if err := json.Unmarshal(m.Payload, &reply); err != nil {
		return fmt.Errorf("a reply has another shape: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Ref != c.ref {
		return nil
	}
	if reply.Status == "ok" {
		c.refusals = 0
		s.push(phoenix.Message{
			JoinRef: c.ref, Ref: s.nextRef(), Topic: phoenix.TopicPrefix + c.topic, Event: phoenix.EventPresence,
			Payload: json.RawMessage(`{"type":"presence","event":"track","payload":{"online":true}}`),
		})
		return nil
	}
	code, _, _ := strings.Cut(reply.Response.Reason, ":")
	c.ref, c.rejoinAt = "", time.Now().Add(jitter(refusedWait))
	if c.refusals++; c.refusals >= maxRefusals {
		c.settle(fmt.Errorf("join of the %s channel was refused: %s", kindOf(c.topic), code))
	}
	return nil
}

// heard passes a durable broadcast on. One without meta is another client's, and proves nothing.
func (s *socket) heard(c *channel, payload json.RawMessage, at time.Time) error {
	b := broadcast{at: at}
	if err := json.Unmarshal(payload, &b); err != nil {
		return fmt.Errorf("a broadcast has another shape: %w", err)
	}
	if b.Meta == nil {
		return nil
	}
	s.mu.Lock()
	fault := c.last.follow(*b.Meta)
	if fault != placeTwice {
		c.last, c.cursor = place{b.Meta.Epoch, b.Meta.Seq}, b.Meta.Cursor
	}
	s.mu.Unlock()
	c.hear.broadcast(b, fault)
	return nil
}

// system reads the recovery message that ends every join of a topic with a history.
func (s *socket) system(ctx context.Context, c *channel, payload json.RawMessage) error {
	var r struct {
		Extension string `json:"extension"`
		Recovered bool   `json:"recovered"`
		Cursor    string `json:"cursor"`
	}
	if err := json.Unmarshal(payload, &r); err != nil {
		return fmt.Errorf("a system message has another shape: %w", err)
	}
	if r.Extension != "recovery" {
		return nil
	}
	s.mu.Lock()
	asked := c.asked
	s.mu.Unlock()
	if asked {
		if err := c.hear.recovered(ctx, r.Recovered); err != nil {
			return err // the cursor stands: the next join is told again
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Cursor != "" {
		c.cursor = r.Cursor
	}
	if asked && !r.Recovered {
		c.last = place{}
	}
	c.settle(nil)
	return nil
}
