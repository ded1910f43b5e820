package e2e_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
)

// keyIDs are the keys in the sidecar's file, the one for new rosters first.
func (s *stack) keyIDs(t testing.TB) (ids []uuid.UUID) {
	t.Helper()
	keys, err := envelope.FileSource{Path: filepath.Join(filepath.Dir(s.dataDir), "analysis-key.json")}.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range keys {
		ids = append(ids, d.KID())
	}
	return ids
}

// keys runs `vigil keys …`, which must do what it is asked.
func (s *stack) keysCommand(t testing.TB, words ...string) string {
	t.Helper()
	out, code := s.sidecar.run(t, append([]string{"keys"}, words...)...)
	if code != 0 {
		t.Fatalf("vigil keys %s: %d: %s", strings.Join(words, " "), code, out)
	}
	return out
}

// awaitDevice waits until a condition on the row of a device holds.
func (s *stack) awaitDevice(t testing.TB, id uuid.UUID, condition string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (is bool, err error) {
		err = s.admin.QueryRow(ctx, "select exists (select from public.devices where id = $1 and "+condition+")", id).Scan(&is)
		return is, ignoreTransient(err)
	}); err != nil {
		t.Fatalf("device %s: it is never so that %s: %v\n%s", id, condition, err, s.sidecar.out.tail())
	}
}

// vouchedFor demands that a client, which knows one key, can verify that the other is the same operator's.
func (s *stack) vouchedFor(t testing.TB, key, by uuid.UUID) {
	t.Helper()
	var enc, sig, bySig, signature string
	if err := s.admin.QueryRow(t.Context(), `select d.enc_pub, d.sig_pub, b.sig_pub, s.signature from public.device_signatures s
		join public.devices d on d.id = s.device_id join public.devices b on b.id = s.by_device_id where d.id = $1 and b.id = $2`, key, by).Scan(&enc, &sig, &bySig, &signature); err != nil {
		t.Fatalf("nothing says that the key %s is the next one of %s: %v", key, by, err)
	}
	terms := envelope.DeviceTerms{By: by, KID: key, Kind: envelope.KindAnalysis}
	var bySigPub []byte
	for of, into := range map[string]*[]byte{enc: &terms.EncPub, sig: &terms.SigPub, bySig: &bySigPub} {
		point, err := envelope.DecodeText(of)
		if err != nil {
			t.Fatal(err)
		}
		*into = point
	}
	if err := terms.Verify(bySigPub, signature); err != nil {
		t.Error(err)
	}
}

// awaitRetired waits until no message may be sent under an epoch.
func (y *therapy) awaitRetired(t testing.TB, epoch uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (is bool, err error) {
		err = y.s.admin.QueryRow(ctx, "select min_epoch > $2 from public.sessions where id = $1", y.id, epoch).Scan(&is)
		return is, ignoreTransient(err)
	}); err != nil {
		t.Fatalf("epoch %d of session %s may still be used: %v", epoch, y.id, err)
	}
}

// read demands that a message of the session was opened, by the key that its epoch's roster has.
func (y *therapy) read(t testing.TB, key uuid.UUID) {
	t.Helper()
	id := y.send(t, ordinaryText)
	if m, ok := y.epoch.Roster.Member(key); !ok || m.Role != envelope.RoleAnalysis {
		t.Errorf("epoch %d is not for the key %s", y.epoch.Number, key)
	}
	if o := y.s.outcomeOf(t, id); o.status != "assessed" {
		t.Errorf("a message under epoch %d: %s %s", y.epoch.Number, o.status, o.reason)
	}
}

// traffic sends in the session until told, and returns how much.
func (y *therapy) traffic(ctx context.Context, stop *atomic.Bool, sent *[]uuid.UUID) error {
	const most = 2000 // a test that hangs must not fill the disk
	for len(*sent) < most && !stop.Load() {
		m, err := y.deliver(ctx, envelope.Message{}, ordinaryText)
		if err != nil {
			return err
		}
		*sent = append(*sent, m.ID)
	}
	return nil
}

// TestKeysRotateWithoutARestart: while people write, a key is added, the old one retired, and destroyed when the last session that
// used it is over. The process is one and the same throughout, no message is lost, and the file holds what it should.
func TestKeysRotateWithoutARestart(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t, "VIGIL_KEY_KEEP=1ms", "VIGIL_RECONCILE_INTERVAL=500ms")
	s.sidecar.env = append(s.sidecar.env, "VIGIL_KEY_KEEP=1ms") // of the commands
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	old := s.keyIDs(t)[0]
	y, busy := s.therapy(t, org), s.therapy(t, org)
	y.read(t, old)
	var stop atomic.Bool
	var sent []uuid.UUID
	var g errgroup.Group
	g.Go(func() error { return busy.traffic(t.Context(), &stop, &sent) })

	s.keysCommand(t, "new", "--rotate")
	ids := s.keyIDs(t)
	if len(ids) != 2 || ids[1] != old {
		t.Fatalf("the file holds %v", ids)
	}
	newer := ids[0]
	s.awaitDevice(t, newer, "revoked_at is null")
	s.vouchedFor(t, newer, old)
	y.read(t, old) // its epoch goes on
	fresh := s.therapy(t, org)
	fresh.read(t, newer)

	s.keysCommand(t, "retire", old.String())
	before := y.epoch.Number
	y.awaitRetired(t, before) // it is passed over while somebody holds it
	y.read(t, newer)
	if y.epoch.Number != before+1 {
		t.Errorf("epoch %d after %d", y.epoch.Number, before)
	}
	if list := s.keysCommand(t, "list"); !strings.Contains(list, "retired, still needed") || !strings.Contains(list, "on new rosters") {
		t.Errorf("keys list:\n%s", list)
	}
	stop.Store(true)
	if err := g.Wait(); err != nil {
		t.Fatalf("a sender was stopped: %v", err)
	}
	if m, ok := busy.epoch.Roster.Member(newer); !ok || m.Role != envelope.RoleAnalysis {
		busy.awaitRetired(t, busy.epoch.Number) // it was stopped before it saw the new key
		busy.read(t, newer)
	}
	var unread int
	s.settled(t.Context(), t)
	if err := s.admin.QueryRow(t.Context(), `select count(*) from unnest($1::uuid[]) m (id)
		where not exists (select from public.assessments a where a.message_id = m.id and a.status = 'assessed')`, sent).Scan(&unread); err != nil || unread > 0 || len(sent) == 0 {
		t.Errorf("%d of %d messages were not read: %v", unread, len(sent), err)
	}

	for _, over := range []*therapy{y, busy} {
		s.awaitDevice(t, old, "retired_at is not null and revoked_at is null") // one that goes on holds it
		s.as(t, over.therapist, "select public.end_session($1)", over.id)
	}
	s.awaitDevice(t, old, "revoked_at is not null")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) { return len(s.keyIDs(t)) == 1, nil }); err != nil || s.keyIDs(t)[0] != newer {
		t.Errorf("the file holds %v: %v", s.keyIDs(t), err)
	}
	fresh.read(t, newer)
	if list := s.keysCommand(t, "list"); !strings.Contains(list, "destroyed") {
		t.Errorf("keys list:\n%s", list)
	}
	if n := strings.Count(s.sidecar.out.String(), `"msg":"starting"`); n != 1 || !s.sidecar.running() {
		t.Errorf("%d processes", n)
	}
}
