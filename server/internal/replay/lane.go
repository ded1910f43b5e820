package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// lane is two people who hold one conversation after the other.
type lane struct {
	r                 *Replay
	client, therapist *person
	sockets           [audiences]*socket
}

// lane makes its people and replays conversations until there is none left or ctx ends. work outlives ctx: what was begun
// is brought to its end.
func (r *Replay) lane(ctx, work context.Context) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // an interruption is no fault
	}
	n := &lane{r: r}
	var people errgroup.Group
	people.Go(func() (err error) { n.client, err = r.newPerson(work, RoleClient); return err })
	people.Go(func() (err error) { n.therapist, err = r.newPerson(work, RoleTherapist); return err })
	if err := people.Wait(); err != nil {
		return err
	}
	working, stop := context.WithCancel(work)
	defer stop()
	g, working := errgroup.WithContext(working)
	for by, p := range [audiences]*person{byClient: n.client, byClinician: n.therapist} {
		n.sockets[by] = newSocket(r.config.VigilURL, r.config.PublishableKey.Reveal(), p, func(error) { r.ledger.add(&r.ledger.reconnects) })
		g.Go(func() error { return n.sockets[by].Run(working) })
	}
	g.Go(func() error {
		defer stop()
		return n.conversations(ctx, working)
	})
	return g.Wait()
}

func (n *lane) conversations(ctx, work context.Context) error {
	for ctx.Err() == nil {
		c, ok := n.r.claim()
		if !ok {
			return nil
		}
		err := n.converse(ctx, work, c)
		var fatal *Error
		if errors.As(err, &fatal) {
			return err // it would happen to the next one too
		}
		if err != nil {
			n.r.ledger.add(&n.r.ledger.failed)
			n.r.failed(c.ID, err)
		}
	}
	return nil //nolint:nilerr // an interruption is no fault
}

// converse holds one conversation, and waits until all of it has arrived.
func (n *lane) converse(ctx, work context.Context, c Conversation) error {
	y, err := n.r.open(work, n.client, n.therapist)
	if err != nil {
		return err
	}
	n.r.ledger.open(y.id, c)
	defer n.r.ledger.finish(y.id)
	topics := n.topics(y)
	defer n.leave(topics)
	if err := n.joinAll(ctx, work, topics); err != nil || ctx.Err() != nil {
		return err
	}
	if err := y.begin(work); err != nil {
		return err
	}
	told := n.speak(ctx, work, y, c)
	n.drain(ctx, work, y.id)
	end, cancel := context.WithTimeout(work, n.r.config.Patience)
	defer cancel()
	found, err := y.read(end)
	if err == nil {
		n.r.ledger.reconciled(y.id, found)
	}
	if !n.r.config.Keep {
		err = errors.Join(err, y.move(end, "end_session"))
	}
	return errors.Join(told, err)
}

// topic is what one of the two listens to.
type topic struct {
	name string
	by   audience
	hear hearing
}

func (n *lane) topics(y *therapy) []topic {
	id := y.id.String()
	list := []topic{{name: "session:" + id, by: byClient}, {name: "session:" + id, by: byClinician}, {name: "care:" + id, by: byClinician}}
	for i, t := range list {
		kind := kindOf(t.name)
		list[i].hear = hearing{ledger: n.r.ledger, session: y.id, by: t.by, reread: func(ctx context.Context) error {
			found, err := y.read(ctx)
			if err == nil {
				n.r.ledger.reread(y.id, t.by, kind, found)
			}
			return err
		}}
	}
	return list
}

// joinAll joins, and waits until each topic has said where it begins: from then on there is a cursor, and nothing is lost.
// An interruption ends the wait, and is no error.
func (n *lane) joinAll(ctx, work context.Context, topics []topic) error {
	wait, cancel := context.WithTimeout(work, n.r.config.Patience)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	g, wait := errgroup.WithContext(wait)
	for _, t := range topics {
		g.Go(func() error { return n.sockets[t.by].join(wait, t.name, t.hear) })
	}
	err := g.Wait()
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // as said
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the sidecar was not to be heard for %s", n.r.config.Patience)
	}
	return err
}

func (n *lane) leave(topics []topic) {
	for _, t := range topics {
		n.sockets[t.by].leave(t.name)
	}
}

// speak sends the turns, each after its pause. An interruption ends it between two turns.
func (n *lane) speak(ctx, work context.Context, y *therapy, c Conversation) error {
	for i, turn := range c.Turns {
		if n.r.config.Speed > 0 && !sleep(ctx, time.Duration(float64(turn.Pause)/n.r.config.Speed)) || ctx.Err() != nil {
			return nil //nolint:nilerr // an interruption is no fault
		}
		err := n.say(work, y, turn)
		for tries := 1; nextEpoch(err) != 0 && tries < rekeys; tries++ {
			if err = y.rekey(work, nextEpoch(err)); err == nil {
				err = n.say(work, y, turn)
			}
		}
		if err != nil {
			return fmt.Errorf("turn %d: %w", i+1, err)
		}
	}
	return nil
}

// rekeys is how often a turn is sealed anew, each time under the next key, before it is given up.
const rekeys = 3

// say seals and stores one turn.
func (n *lane) say(ctx context.Context, y *therapy, turn Turn) error {
	m, err := y.seal(turn.Role, turn.Text)
	if err != nil {
		return err
	}
	n.r.ledger.sending(y.id, m.ID, m.Body)
	err = y.send(ctx, turn.Role, m)
	n.r.ledger.sent(y.id, m.ID, err)
	return err
}

// drain waits until what was stored has arrived, or patience is at its end.
func (n *lane) drain(ctx, work context.Context, session uuid.UUID) {
	wait, cancel := context.WithTimeout(work, n.r.config.Patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { // an interruption shortens the wait
		if sleep(wait, interruptedDrain) {
			cancel()
		}
	})
	defer stop()
	for {
		done, changed := n.r.ledger.settled(session)
		if done {
			return
		}
		select {
		case <-changed:
		case <-wait.Done():
			return
		}
	}
}
