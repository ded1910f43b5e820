package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
)

const (
	rotationSeats    = 6                     // devices that send at once: half of them the client's
	rotationMessages = 300                   // VIGIL_ROTATION_MESSAGES asks for more
	rotationPause    = 20 * time.Millisecond // between two changes of who may read
	rotationWait     = 2 * time.Millisecond  // before a sender asks again for what an admin changes this moment
)

// room is one session in which several devices send while somebody changes who may read it.
type room struct {
	*therapy
	mu       sync.Mutex
	consent  envelope.ConsentRow
	consents map[uuid.UUID]envelope.ConsentRow
	devices  map[uuid.UUID]*envelope.Device // every one that ever was
	sent     map[uuid.UUID]string
}

// seat is one of the devices that send. The device is replaced by whoever changes it, under room.mu; the rest is its sender's.
type seat struct {
	*room
	p      *person
	device *envelope.Device
	epoch  *envelope.Epoch
	by     *envelope.Device // whom epoch was opened as
	seq    uint32
}

// TestRotationLosesNoMessage: six devices send while others are admitted and revoked, and consent is withdrawn and given: each
// message that was sent is stored once, and everybody on its roster opens it; the sidecar assesses it or says why not.
func TestRotationLosesNoMessage(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	r := &room{therapy: s.therapy(t, org), consents: make(map[uuid.UUID]envelope.ConsentRow), devices: make(map[uuid.UUID]*envelope.Device), sent: make(map[uuid.UUID]string)}
	r.agree(t, r.client.device)
	seats := r.sit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	senders, sending := errgroup.WithContext(ctx)
	for n, seat := range seats {
		senders.Go(func() error {
			for i := range numberOf(t, "VIGIL_ROTATION_MESSAGES", rotationMessages) / rotationSeats {
				if err := seat.say(sending, fmt.Sprintf("message %d of seat %d", i, n)); err != nil {
					return fmt.Errorf("seat %d: %w", n, err)
				}
			}
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- senders.Wait() }() // received below
	changes := r.change(t, seats, ended)
	if len(r.sent) < rotationMessages/rotationSeats*rotationSeats {
		t.Fatalf("%d messages were sent", len(r.sent))
	}
	epochs := r.verify(t)
	if changes < 3 || epochs < 4 {
		t.Errorf("%d changes and %d epochs: the test proves little", changes, epochs)
	}
	t.Logf("%d messages under %d epochs, %d changes of who may read", len(r.sent), epochs, changes)
}

// sit gives both people as many devices as they have seats.
func (r *room) sit(t testing.TB) (seats []*seat) {
	t.Helper()
	for _, p := range []*person{r.client, r.therapist} {
		first := p.device
		seats = append(seats, &seat{room: r, p: p, device: first})
		for range rotationSeats/2 - 1 {
			d := r.s.register(t, p)
			r.s.vouch(t, p, first, d)
			r.s.admitted(t, d)
			seats = append(seats, &seat{room: r, p: p, device: d})
		}
	}
	for _, seat := range seats {
		r.devices[seat.device.KID()] = seat.device
	}
	return seats
}

// agree gives a new consent, signed by one of the client's devices.
func (r *room) agree(t testing.TB, by *envelope.Device) {
	t.Helper()
	c, err := envelope.SignConsent(by, uuid.New(), r.id, "I agree that Vigil reads along.", envelope.ScopeAnalysis)
	if err != nil {
		t.Fatal(err)
	}
	r.s.as(t, r.client, "insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values ($1, $2, $3, $4, $5, $6)",
		c.ID, c.Session, c.Device, c.Scope, c.TextHash, c.Signature)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.consent, r.consents[c.ID] = c, c
}

// change makes changes until the senders have ended, and returns how many it made.
func (r *room) change(t testing.TB, seats []*seat, ended <-chan error) (changes int) {
	t.Helper()
	random := rand.New(rand.NewPCG(6, 6)) //nolint:gosec // the same changes each time
	tick := time.NewTicker(rotationPause)
	defer tick.Stop()
	for ; ; changes++ {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, r.s.sidecar.out.tail())
			}
			return changes
		case <-tick.C:
		}
		if random.IntN(3) == 0 {
			r.withdrawAndAgree(t, seats)
		} else {
			r.replace(t, seats, random.IntN(len(seats)))
		}
	}
}

// withdrawAndAgree takes the consent back and gives another.
func (r *room) withdrawAndAgree(t testing.TB, seats []*seat) {
	t.Helper()
	signature, err := envelope.SignWithdrawal(r.devices[r.consent.Device], r.consent)
	if err != nil {
		t.Fatal(err)
	}
	r.s.as(t, r.client, "select public.withdraw_consent($1, $2)", r.consent.ID, signature)
	r.agree(t, seats[0].device)
}

// replace admits a new device of somebody, and revokes the one that it takes the place of.
func (r *room) replace(t testing.TB, seats []*seat, n int) {
	t.Helper()
	old := seats[n]
	d := r.s.register(t, old.p)
	r.s.vouch(t, old.p, seats[(n+1)%(rotationSeats/2)+n/(rotationSeats/2)*(rotationSeats/2)].device, d)
	r.s.admitted(t, d)
	was := old.device
	r.mu.Lock()
	old.device, r.devices[d.KID()] = d, d
	r.mu.Unlock()
	r.s.as(t, old.p, "update public.devices set revoked_at = now() where id = $1", was.KID())
	if was.KID() == r.consent.Device { // its consent counts no more
		r.agree(t, seats[0].device)
	}
}

// say seals and stores one message, however often that takes.
func (c *seat) say(ctx context.Context, text string) error {
	plain, err := envelope.Text(text, time.Now())
	if err != nil {
		return err
	}
	id := uuid.New()
	for ctx.Err() == nil {
		c.mu.Lock()
		d := c.device
		c.mu.Unlock()
		if c.epoch == nil || c.by != d {
			if err := c.renew(ctx, d); err != nil {
				return err
			}
			if c.epoch == nil {
				continue
			}
		}
		m, err := c.epoch.Seal(d, id, c.seq, plain)
		if err != nil {
			return err
		}
		err = c.s.tryAs(ctx, c.p, "insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ($1, $2, $3, $4, $5, $6)",
			m.ID, m.Session, m.Sender, m.Epoch, m.Seq, m.Body)
		switch {
		case err == nil:
			c.seq++
			c.mu.Lock()
			c.sent[id] = text
			c.mu.Unlock()
			return nil
		case !mends(err):
			return fmt.Errorf("insert: %w", err)
		}
		c.epoch = nil
	}
	return ctx.Err()
}

// mends says whether an admin, or another sender, changed something this moment that explains the refusal: who takes part, which
// devices, which epoch, which consent.
func mends(err error) bool {
	for _, state := range []string{stateEpoch, stateWaits, "VG004", "VG005", "VG006", "VG008", "VG011", "VG012", "PT409"} {
		if isState(err, state) {
			return true
		}
	}
	return false
}

// renew opens the session's latest epoch as the device, or makes the next. c.epoch is nil when it must be tried again.
func (c *seat) renew(ctx context.Context, d *envelope.Device) error {
	c.epoch = nil
	var least, next uint32
	var rows []byte
	if err := c.s.admin.QueryRow(ctx, "select private.least_epoch($1), private.next_epoch($1), private.expected_roster($1)", c.id).Scan(&least, &next, &rows); err != nil {
		return err
	}
	if next > least { // the latest may be used
		e, err := c.open(ctx, d, next-1)
		if err == nil {
			c.epoch, c.by, c.seq = e, d, 0
			return nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
	}
	roster, err := envelope.ParseRoster(rows)
	if err != nil {
		return err
	}
	c.mu.Lock()
	consent := c.consent.ID
	c.mu.Unlock()
	e, row, err := envelope.MakeEpoch(d, c.id, next, roster, consent)
	if err == nil {
		err = c.create(ctx, row)
	}
	switch {
	case err == nil:
		c.epoch, c.by, c.seq = e, d, 0
	case mends(err) || errors.Is(err, envelope.ErrRoster): // ErrRoster: d was revoked between two reads
		select {
		case <-ctx.Done():
		case <-time.After(rotationWait):
		}
	default:
		return fmt.Errorf("make epoch %d: %w", next, err)
	}
	return nil
}

func (c *seat) create(ctx context.Context, row envelope.EpochRow) error {
	wraps, err := json.Marshal(row.Wraps)
	if err != nil {
		return err
	}
	return c.s.tryAs(ctx, c.p, "select public.create_epoch($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		row.Session, row.Epoch, row.By, string(row.Roster), row.RosterHash, row.Commit, row.Signature, row.Consent, string(wraps))
}

// open opens an epoch as a device, with the row and the wrap that the database keeps. pgx.ErrNoRows: it holds no wrap.
func (r *room) open(ctx context.Context, d *envelope.Device, number uint32) (*envelope.Epoch, error) {
	row := envelope.EpochRow{Session: r.id, Epoch: number}
	var wrap string
	if err := r.s.admin.QueryRow(ctx, `select e.device_id, e.roster, e.roster_hash, e.key_commit, e.consent_id, e.signature, e.suite, w.wrap
		from public.session_epochs e join public.epoch_wraps w using (session_id, epoch) where e.session_id = $1 and e.epoch = $2 and w.device_id = $3`,
		r.id, int32(number), d.KID()).Scan(&row.By, &row.Roster, &row.RosterHash, &row.Commit, &row.Consent, &row.Signature, &row.Suite, &wrap); err != nil {
		return nil, err
	}
	row.Wraps = map[uuid.UUID]string{d.KID(): wrap}
	r.mu.Lock()
	consent := r.consents[row.Consent]
	r.mu.Unlock()
	return envelope.OpenEpoch(row, &consent, d)
}

// verify reads every message as every device of its roster, and what the sidecar made of it. It returns how many epochs there were.
func (r *room) verify(t testing.TB) (epochs int) {
	t.Helper()
	ctx := t.Context()
	r.s.settled(ctx, t)
	rows, err := r.s.admin.Query(ctx, `select m.id, m.sender_device_id, m.epoch, m.seq, m.body, m.position, coalesce(a.status, ''), coalesce(a.reason, '')
		from public.messages m left join public.assessments a on a.message_id = m.id where m.session_id = $1 order by m.position`, r.id)
	if err != nil {
		t.Fatal(err)
	}
	type stored struct {
		ID, Sender     uuid.UUID
		Epoch, Seq     int64
		Body           string
		Position       int64
		Status, Reason string
	}
	messages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		t.Fatal(err)
	}
	opened := make(map[uint32][]*envelope.Epoch)
	seqs := make(map[string]int64)
	for i, m := range messages {
		if m.Position != int64(i+1) || m.Status != "assessed" && m.Reason != "consent" {
			t.Errorf("message %d has position %d and is %q %s", i+1, m.Position, m.Status, m.Reason)
		}
		of := fmt.Sprint(m.Sender, m.Epoch)
		if m.Seq != seqs[of] {
			t.Errorf("message %d has seq %d, want %d: a gap that is none", i+1, m.Seq, seqs[of])
		}
		seqs[of]++
		if opened[uint32(m.Epoch)] == nil {
			opened[uint32(m.Epoch)] = r.openAll(t, uint32(m.Epoch))
		}
		for _, e := range opened[uint32(m.Epoch)] {
			plain, err := e.Open(envelope.Message{ID: m.ID, Session: r.id, Sender: m.Sender, Epoch: e.Number, Seq: uint32(m.Seq), Body: m.Body})
			if text, sent := r.sent[m.ID]; err != nil || !sent || !strings.Contains(string(plain), `"`+text+`"`) {
				t.Fatalf("message %d of %s: %v", i+1, e, err)
			}
		}
		delete(r.sent, m.ID) // once
	}
	for id := range r.sent {
		t.Errorf("message %s was sent, and is not there", id)
	}
	for _, m := range messages {
		r.sent[m.ID] = ""
	}
	return len(opened)
}

// openAll opens an epoch as every person's device that its roster names.
func (r *room) openAll(t testing.TB, number uint32) (all []*envelope.Epoch) {
	t.Helper()
	var members []uuid.UUID
	if err := r.s.admin.QueryRow(t.Context(), `select array(select (x ->> 'kid')::uuid from jsonb_array_elements(e.roster) x where x ->> 'role' <> '9')
		from public.session_epochs e where e.session_id = $1 and e.epoch = $2`, r.id, int32(number)).Scan(&members); err != nil {
		t.Fatal(err)
	}
	for _, kid := range members {
		e, err := r.open(t.Context(), r.devices[kid], number)
		if err != nil {
			t.Fatalf("device %s of the roster of epoch %d: %v", kid, number, err)
		}
		all = append(all, e)
	}
	if len(all) < rotationSeats {
		t.Errorf("epoch %d has %d devices of people, want %d at least", number, len(all), rotationSeats)
	}
	return all
}
