package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
)

// therapy is one assisted session.
type therapy struct {
	id                uuid.UUID
	client, therapist login
	device            *envelope.Device
	epoch             *envelope.Epoch
	consent           uuid.UUID
	seq               uint32
	sent              int // messages under the epoch
}

// therapies makes n sessions, each of its own client, shared out among therapists. sealed: with devices, consents and epochs, so
// that messages can be sent; else they only have topics.
func (p *practice) therapies(ctx context.Context, n, therapists int, sealed bool) ([]*therapy, error) {
	p.b.progress.begin(fmt.Sprintf("make %d sessions", n), n)
	staff, err := p.people(ctx, therapists, "therapist")
	if err != nil {
		return nil, err
	}
	clients, err := p.people(ctx, n, "client")
	if err != nil {
		return nil, err
	}
	staffLogins, err := p.logins(ctx, staff)
	if err != nil {
		return nil, err
	}
	clientLogins, err := p.logins(ctx, clients)
	if err != nil {
		return nil, err
	}
	for i := range staff {
		if sealed {
			if _, err := p.device(ctx, staffLogins[i]); err != nil {
				return nil, err
			}
		}
	}
	made := make([]*therapy, n)
	for i := range made {
		y := &therapy{client: clientLogins[i], therapist: staffLogins[i%therapists]}
		if err := p.begin(ctx, y, sealed); err != nil {
			return nil, fmt.Errorf("make session %d: %w", i, err)
		}
		made[i] = y
		p.b.progress.set(i + 1)
	}
	return made, nil
}

func (p *practice) begin(ctx context.Context, y *therapy, sealed bool) (err error) {
	if err := p.as(ctx, y.therapist, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "select id from public.create_session($1, $2, 'assisted')", p.org, y.client.person).Scan(&y.id)
	}); err != nil || !sealed {
		return err
	}
	if y.device, err = p.device(ctx, y.client); err != nil {
		return err
	}
	c, err := envelope.SignConsent(y.device, uuid.New(), y.id, "I agree that Vigil reads along.", "analysis")
	if err != nil {
		return err
	}
	if err := p.as(ctx, y.client, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values ($1, $2, $3, $4, $5, $6)",
			c.ID, c.Session, c.Device, c.Scope, c.TextHash, c.Signature)
		return err
	}); err != nil {
		return err
	}
	if err := p.as(ctx, y.therapist, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, "select public.start_session($1)", y.id); return err }); err != nil {
		return err
	}
	y.consent = c.ID
	return p.newEpoch(ctx, y)
}

func (p *practice) newEpoch(ctx context.Context, y *therapy) error {
	var number uint32
	var rows []byte
	if err := p.admin.QueryRow(ctx, "select private.next_epoch($1), private.expected_roster($1)", y.id).Scan(&number, &rows); err != nil {
		return err
	}
	roster, err := envelope.ParseRoster(rows)
	if err != nil {
		return err
	}
	e, row, err := envelope.MakeEpoch(y.device, y.id, number, roster, y.consent)
	if err != nil {
		return err
	}
	wraps, err := json.Marshal(row.Wraps)
	if err != nil {
		return err
	}
	y.epoch, y.seq, y.sent = e, 0, 0
	return p.as(ctx, y.client, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select public.create_epoch($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			y.id, number, y.device.KID(), string(row.Roster), row.RosterHash, row.Commit, row.Signature, y.consent, string(wraps))
		return err
	})
}

// What is said. One in crisisEvery of a text made by text is of a crisis.
const crisisText = "I have the pills here and I am going to kill myself tonight."

var ordinaryTexts = []string{
	"We walked along the river and it was good to be outside.",
	"Work was stressful but I got through it, and in the evening I called my sister and we talked about the holidays for an hour.",
	"I did not sleep well again. I keep thinking about what he said at dinner and I cannot let it go.",
	"The breathing exercise helped a little on Tuesday, less on Wednesday.",
	"I am worried about money. The rent goes up in March and I do not know yet how we will manage, but we made a list like you said.",
	"My mother visited. We cooked together, and for once we did not argue.",
	"I felt low most of the week and stayed in bed on Sunday, but I went swimming on Monday.",
	"Can we move our next appointment to Thursday?",
}

func textOf(i, crisisEvery int) string {
	if crisisEvery > 0 && i%crisisEvery == 0 {
		return crisisText
	}
	return ordinaryTexts[i%len(ordinaryTexts)]
}

// epochMessages is how many messages Postgres takes under one epoch: private.max_epoch_messages.
const epochMessages = 500

// rotate makes the next epoch if this one has no room for n more messages, so that a statement of n is never refused half way. Its
// time is part of what is measured: every sender pays it.
func (p *practice) rotate(ctx context.Context, y *therapy, n int) error {
	if y.sent+n <= epochMessages {
		y.sent += n
		return nil
	}
	if err := p.newEpoch(ctx, y); err != nil {
		return err
	}
	y.sent = n
	return nil
}

// seal makes the client's next message. rotate was called for it where it is stored.
func (y *therapy) seal(text string) (envelope.Message, error) {
	plain, err := envelope.Text(text, time.Now())
	if err != nil {
		return envelope.Message{}, err
	}
	m, err := y.epoch.Seal(y.device, uuid.New(), y.seq, plain)
	y.seq++
	return m, err
}

const insertMessages = `insert into public.messages (id, session_id, sender_device_id, epoch, seq, body)
	select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::text[])`

// insert stores messages of the client in one statement.
func (p *practice) insert(ctx context.Context, y *therapy, messages []envelope.Message) error {
	n := len(messages)
	ids, sessions, devices := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	epochs, seqs, bodies := make([]int32, n), make([]int64, n), make([]string, n)
	for i, m := range messages {
		ids[i], sessions[i], devices[i], epochs[i], seqs[i], bodies[i] = m.ID, m.Session, m.Sender, int32(m.Epoch), int64(m.Seq), m.Body
	}
	return p.as(ctx, y.client, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insertMessages, ids, sessions, devices, epochs, seqs, bodies)
		return err
	})
}

const (
	bulkRows    = 100 // messages in one transaction of write
	bulkWriters = 4
)

// write seals and stores n messages, shared out among the sessions, as fast as Postgres takes them.
func (p *practice) write(ctx context.Context, sessions []*therapy, n, crisisEvery int) error {
	var g errgroup.Group
	g.SetLimit(bulkWriters)
	share := (n + len(sessions) - 1) / len(sessions)
	left := n
	for _, y := range sessions {
		mine := min(share, left)
		left -= mine
		g.Go(func() error {
			for done := 0; done < mine; done += bulkRows {
				batch := make([]envelope.Message, 0, bulkRows)
				if err := p.rotate(ctx, y, min(bulkRows, mine-done)); err != nil {
					return err
				}
				for i := done; i < min(done+bulkRows, mine); i++ {
					m, err := y.seal(textOf(i, crisisEvery))
					if err != nil {
						return err
					}
					batch = append(batch, m)
				}
				if err := p.insert(ctx, y, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// behind counts the sessions that are not assessed to their end.
func (p *practice) behind(ctx context.Context) (n int, err error) {
	err = p.admin.QueryRow(ctx, `select count(*) from public.session_counters c join public.session_progress s using (session_id)
		where c.last_assisted_position > s.assessed_position`).Scan(&n)
	return n, err
}

// unassessed counts messages without an assessment of status assessed.
func (p *practice) unassessed(ctx context.Context) (n int, err error) {
	err = p.admin.QueryRow(ctx, `select (select count(*) from public.messages) - (select count(*) from public.assessments where status = 'assessed')`).Scan(&n)
	return n, err
}
