package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
)

// therapy is one session between the two people of a lane.
type therapy struct {
	r                 *Replay
	id                uuid.UUID
	client, therapist *person
	consent           envelope.ConsentRow
	epochs            map[string]*envelope.Epoch // by role: each opened it with their own device
	seqs              map[string]uint32
}

// open makes a session, as the therapist does.
func (r *Replay) open(ctx context.Context, client, therapist *person) (*therapy, error) {
	y := &therapy{r: r, client: client, therapist: therapist, epochs: make(map[string]*envelope.Epoch), seqs: make(map[string]uint32)}
	var made struct {
		ID uuid.UUID `json:"id"`
	}
	err := r.as(ctx, therapist, call{
		attempt: "create a session", method: http.MethodPost, path: "rpc/create_session", into: &made,
		body: map[string]any{"organization_id": r.organization.ID, "client_id": client.id, "mode": "assisted"},
	})
	if codeOf(err) == codeNotAllowed {
		err = advise(err, "Staff of this organization need a second factor, or a membership was ended meanwhile. Is organizations.require_aal2 as it was when the run began?")
	}
	y.id = made.ID
	return y, err
}

// begin brings the session to where messages can be sent: the client consents, the therapist starts it, the client's
// device makes the first key, and the therapist's opens it.
func (y *therapy) begin(ctx context.Context) error {
	consent, err := envelope.SignConsent(y.client.device, uuid.New(), y.id, consentText, envelope.ScopeAnalysis)
	if err != nil {
		return err
	}
	y.consent = consent
	if err := y.r.as(ctx, y.client, call{
		attempt: "give consent", method: http.MethodPost, path: "session_consents", prefer: nothingReturned,
		body: map[string]any{
			"id": consent.ID, "session_id": consent.Session, "device_id": consent.Device, "scope": consent.Scope,
			"text_hash": consent.TextHash, "signature": consent.Signature,
		},
	}); err != nil {
		return err
	}
	err = y.move(ctx, "start_session")
	var refused *RequestError
	if errors.As(err, &refused) && refused.Code == codeBadStatus && strings.Contains(refused.details, statusActive) {
		err = nil // an earlier try had been heard
	}
	if err != nil {
		return err
	}
	return y.rekey(ctx, firstEpoch)
}

// firstEpoch is the number of a session's first key.
const firstEpoch = 1

// rekey brings the session under a key of that number or a later one: both send and read under it from then on.
func (y *therapy) rekey(ctx context.Context, number uint32) error {
	if err := y.newEpoch(ctx, number); err != nil {
		return err
	}
	clear(y.seqs) // each key has its own
	return y.openEpoch(ctx, y.therapist)
}

// nextEpoch is the number that the database names when it refuses the key of a message: it has messages enough, or is a day old, or
// somebody who must read along came meanwhile. 0: err is no such refusal.
func nextEpoch(err error) uint32 {
	var refused *RequestError
	if !errors.As(err, &refused) || refused.Code != codeEpochOver {
		return 0
	}
	var d struct {
		Next uint32 `json:"next_epoch"`
	}
	if json.Unmarshal([]byte(refused.details), &d) != nil {
		return 0
	}
	return d.Next
}

// move calls one of start_session and end_session, as the therapist.
func (y *therapy) move(ctx context.Context, verb string) error {
	return y.r.as(ctx, y.therapist, call{
		attempt: strings.ReplaceAll(verb, "_", " "), method: http.MethodPost, path: "rpc/" + verb, body: map[string]any{"session_id": y.id},
	})
}

// deviceRow is a row of devices.
type deviceRow struct {
	ID     uuid.UUID `json:"id"`
	UserID uuid.UUID `json:"user_id"`
	Kind   string    `json:"kind"`
	EncPub string    `json:"enc_pub"`
	SigPub string    `json:"sig_pub"`
}

// roster reads who must hold the key: everybody's devices, and the sidecar's newest.
func (y *therapy) roster(ctx context.Context) (envelope.Roster, error) {
	const columns, isNull = "id,user_id,kind,enc_pub,sig_pub", "is.null"
	var people, analysis []deviceRow
	if err := y.r.as(ctx, y.client, call{
		attempt: "read devices", method: http.MethodGet, path: "devices", into: &people, again: true,
		query: url.Values{
			"select": {columns}, "revoked_at": {isNull}, "admitted_at": {"not.is.null"}, "user_id": {fmt.Sprintf("in.(%s,%s)", y.client.id, y.therapist.id)},
		},
	}); err != nil {
		return nil, err
	}
	if err := y.r.as(ctx, y.client, call{
		attempt: "read the sidecar's device", method: http.MethodGet, path: "devices", into: &analysis, again: true,
		query: url.Values{
			"select": {columns}, "revoked_at": {isNull}, "retired_at": {isNull}, "kind": {"eq.analysis"}, "order": {"created_at.desc"}, "limit": {"1"},
		},
	}); err != nil {
		return nil, err
	}
	if len(analysis) == 0 {
		return nil, noAnalysisDevice()
	}
	type member struct {
		KID    uuid.UUID     `json:"kid"`
		Role   envelope.Role `json:"role"`
		EncPub string        `json:"enc_pub"`
		SigPub string        `json:"sig_pub"`
	}
	var members []member
	for _, d := range slices.Concat(people, analysis) {
		role := envelope.RoleTherapist
		switch {
		case d.Kind == "analysis":
			role = envelope.RoleAnalysis
		case d.Kind == "recovery":
			role = envelope.RoleRecovery
		case d.UserID == y.client.id:
			role = envelope.RoleClient
		}
		members = append(members, member{d.ID, role, d.EncPub, d.SigPub})
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return envelope.ParseRoster(raw)
}

func noAnalysisDevice() error {
	return advise(errors.New("the sidecar has no device in this project yet, so nobody could analyse a session"),
		"Start `vigil serve` once against this project: it registers its key. `vigil doctor` says what keeps it from it.")
}

// newEpoch makes the session's key of that number, by the client's device.
func (y *therapy) newEpoch(ctx context.Context, number uint32) error {
	roster, err := y.roster(ctx)
	if err != nil {
		return err
	}
	epoch, row, err := envelope.MakeEpoch(y.client.device, y.id, number, roster, y.consent.ID)
	if err != nil {
		return err
	}
	err = y.r.as(ctx, y.client, call{
		attempt: "create an epoch", method: http.MethodPost, path: "rpc/create_epoch",
		body: map[string]any{
			"session_id": y.id, "epoch": row.Epoch, "device_id": row.By, "roster": row.Roster, "roster_hash": row.RosterHash,
			"key_commit": row.Commit, "signature": row.Signature, "consent_id": row.Consent, "wraps": row.Wraps,
		},
	})
	switch codeOf(err) {
	case codeNoAnalysis:
		return noAnalysisDevice()
	case codeRoster:
		return advise(err, "The devices of the session changed meanwhile, or the sidecar's key was replaced: run it again.")
	case codeConflict: // an earlier try had been heard, or somebody else was first
		return y.openEpoch(ctx, y.client)
	}
	y.epochs[RoleClient] = epoch
	return err
}

// openEpoch reads the session's key as the person, and opens it with their device.
func (y *therapy) openEpoch(ctx context.Context, p *person) error {
	var rows []struct {
		Epoch     uint32          `json:"epoch"`
		By        uuid.UUID       `json:"device_id"`
		Roster    json.RawMessage `json:"roster"`
		Hash      string          `json:"roster_hash"`
		Commit    string          `json:"key_commit"`
		Consent   uuid.UUID       `json:"consent_id"`
		Signature string          `json:"signature"`
		Suite     int             `json:"suite"`
	}
	of := "eq." + y.id.String()
	if err := y.r.as(ctx, p, call{
		attempt: "read epochs", method: http.MethodGet, path: "session_epochs", into: &rows, again: true,
		query: url.Values{"select": {"epoch,device_id,roster,roster_hash,key_commit,consent_id,signature,suite"}, "session_id": {of}, "order": {"epoch.desc"}, "limit": {"1"}},
	}); err != nil {
		return err
	}
	if len(rows) == 0 {
		return errors.New("read epochs: there is none")
	}
	e := rows[0]
	var wraps []struct {
		Wrap string `json:"wrap"`
	}
	if err := y.r.as(ctx, p, call{
		attempt: "read own wrap", method: http.MethodGet, path: "epoch_wraps", into: &wraps, again: true,
		query: url.Values{"select": {"wrap"}, "session_id": {of}, "epoch": {fmt.Sprintf("eq.%d", e.Epoch)}, "device_id": {"eq." + p.device.KID().String()}},
	}); err != nil {
		return err
	}
	row := envelope.EpochRow{
		Session: y.id, Epoch: e.Epoch, By: e.By, Roster: e.Roster, RosterHash: e.Hash, Commit: e.Commit, Consent: e.Consent, Signature: e.Signature,
		Suite: e.Suite, Wraps: make(map[uuid.UUID]string),
	}
	for _, w := range wraps {
		row.Wraps[p.device.KID()] = w.Wrap
	}
	epoch, err := envelope.OpenEpoch(row, &y.consent, p.device)
	y.epochs[p.role] = epoch
	return err
}

// seal makes the next message of one of the two.
func (y *therapy) seal(role, text string) (envelope.Message, error) {
	plain, err := envelope.Text(text, time.Now())
	if err != nil {
		return envelope.Message{}, err
	}
	defer envelope.Wipe(plain)
	m, err := y.epochs[role].Seal(y.person(role).device, uuid.New(), y.seqs[role], plain)
	y.seqs[role]++
	return m, err
}

func (y *therapy) person(role string) *person {
	if role == RoleClient {
		return y.client
	}
	return y.therapist
}

// send stores a sealed message as its sender. It may be tried any number of times: a row that is there is looked at.
func (y *therapy) send(ctx context.Context, role string, m envelope.Message) error {
	p := y.person(role)
	err := y.r.as(ctx, p, call{
		attempt: "send a message", method: http.MethodPost, path: "messages", prefer: nothingReturned, again: true,
		body: map[string]any{"id": m.ID, "session_id": m.Session, "sender_device_id": m.Sender, "epoch": m.Epoch, "seq": m.Seq, "body": m.Body},
	})
	if codeOf(err) != codeStored {
		return err
	}
	var rows []struct {
		Body string `json:"body"`
	}
	if read := y.r.as(ctx, p, call{
		attempt: "look for own message", method: http.MethodGet, path: "messages", into: &rows, again: true,
		query: url.Values{"select": {"body"}, "id": {"eq." + m.ID.String()}},
	}); read != nil {
		return read
	}
	if len(rows) != 1 || rows[0].Body != m.Body {
		return err
	}
	return nil
}

// assessmentRow is a row of assessments, as a frame and as PostgREST give it.
type assessmentRow struct {
	ID         uuid.UUID `json:"id"`
	MessageID  uuid.UUID `json:"message_id"`
	Status     string    `json:"status"`
	Source     string    `json:"source"`
	Level      *int      `json:"level"`
	Alert      bool      `json:"alert"`
	Superseded *string   `json:"superseded_at"`
}

// alertRow is a row of alerts.
type alertRow struct {
	ID        uuid.UUID `json:"id"`
	MessageID uuid.UUID `json:"message_id"`
	Level     *int      `json:"level"`
}

// messageRow is a row of messages.
type messageRow struct {
	ID   uuid.UUID `json:"id"`
	Body string    `json:"body"`
}

// tables is what the tables have of a session, as the therapist reads them.
type tables struct {
	messages    []messageRow
	assessments []assessmentRow
	alerts      []alertRow
}

func (y *therapy) read(ctx context.Context) (t tables, err error) {
	of := "eq." + y.id.String()
	for _, one := range []struct {
		table, columns string
		into           any
	}{
		{"messages", "id,body", &t.messages},
		{"assessments", "id,message_id,status,source,level,alert,superseded_at", &t.assessments},
		{"alerts", "id,message_id,level", &t.alerts},
	} {
		if err := y.r.as(ctx, y.therapist, call{
			attempt: "read " + one.table, method: http.MethodGet, path: one.table, into: one.into, again: true,
			query: url.Values{"select": {one.columns}, "session_id": {of}},
		}); err != nil {
			return t, err
		}
	}
	return t, nil
}
