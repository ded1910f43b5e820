package relay_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/internal/relay"
)

var update = flag.Bool("update", false, "write the golden files")

// col names a column and its type; a name that ends in * is part of the key.
func col(name string, oid uint32) relay.Column {
	plain := strings.TrimSuffix(name, "*")
	return relay.Column{Name: plain, TypeOID: oid, Key: plain != name}
}

const (
	oidUUID, oidText, oidBool, oidTime          = 2950, 25, 16, 1184
	oidInt2, oidInt4, oidInt8, oidFloat4        = 21, 23, 20, 700
	oidJSONB, oidTexts, oidInt4s         uint32 = 3802, 1009, 1007
)

const at = "2026-01-02 03:04:05.678901+00"

var everyTable = map[string]struct {
	columns []relay.Column
	values  []any
}{
	"messages": {[]relay.Column{col("id*", oidUUID), col("session_id", oidUUID), col("organization_id", oidUUID), col("sender_id", oidUUID),
		col("sender_device_id", oidUUID), col("epoch", oidInt4), col("seq", oidInt8), col("position", oidInt8),
		col("previous_assisted_position", oidInt8), col("assisted", oidBool), col("body", oidText), col("created_at", oidTime)},
		[]any{id(1), id(2), id(3), id(4), id(5), "1", "7", "12", "11", "t", "c2VhbGVk", at}},
	"message_arrivals": {[]relay.Column{col("message_id", oidUUID), col("session_id*", oidUUID), col("organization_id", oidUUID),
		col("position*", oidInt8), col("sender_id", oidUUID), col("sender_device_id", oidUUID), col("epoch", oidInt4), col("seq", oidInt8),
		col("created_at", oidTime)}, []any{id(1), id(2), id(3), "12", id(4), id(5), "1", "7", at}},
	"sessions": {[]relay.Column{col("id*", oidUUID), col("organization_id*", oidUUID), col("mode", oidText), col("status", oidText),
		col("min_epoch", oidInt4), col("scheduled_for", oidTime), col("started_at", oidTime), col("ended_at", oidTime),
		col("created_by", oidUUID), col("created_at", oidTime)}, []any{id(2), id(3), "assisted", "active", "1", nil, at, nil, id(4), at}},
	"session_participants": {[]relay.Column{col("session_id*", oidUUID), col("user_id*", oidUUID), col("organization_id", oidUUID),
		col("role", oidText), col("joined_at", oidTime), col("ended_at", oidTime)}, []any{id(2), id(4), id(3), "client", at, nil}},
	"session_consents": {[]relay.Column{col("id*", oidUUID), col("session_id*", oidUUID), col("organization_id", oidUUID),
		col("user_id", oidUUID), col("device_id", oidUUID), col("scope", oidTexts), col("text_hash", oidText), col("signature", oidText),
		col("given_at", oidTime), col("withdrawn_at", oidTime), col("withdrawal_signature", oidText)},
		[]any{id(8), id(2), id(3), id(4), id(5), "{analysis,crisis_access}", "aGFzaA", "c2ln", at, nil, nil}},
	"session_epochs": {[]relay.Column{col("session_id*", oidUUID), col("epoch*", oidInt4), col("organization_id", oidUUID),
		col("device_id", oidUUID), col("roster", oidJSONB), col("roster_hash", oidText), col("suite", oidInt4), col("assisted", oidBool),
		col("created_at", oidTime)}, []any{id(2), "1", id(3), id(5), `[{"kid": "a", "role": 1}]`, "aGFzaA", "2", "t", at}},
	"epoch_readers": {[]relay.Column{col("session_id*", oidUUID), col("epoch*", oidInt4), col("device_id*", oidUUID), col("user_id", oidUUID),
		col("organization_id", oidUUID), col("role", oidInt2), col("reason", oidText), col("alert_id", oidUUID), col("by_device_id", oidUUID),
		col("signature", oidText), col("created_at", oidTime), col("ended_at", oidTime)},
		[]any{id(2), "1", id(5), id(6), id(3), "3", "crisis_access", id(10), id(7), "c2ln", at, nil}},
	"message_scores": {[]relay.Column{col("message_id*", oidUUID), col("side*", oidText), col("session_id*", oidUUID), col("organization_id", oidUUID),
		col("position", oidInt8), col("epoch", oidInt4), col("after_position", oidInt8), col("level", oidInt2), col("alert", oidBool),
		col("hard", oidTexts), col("scores", oidInt4s), col("rules", oidTexts), col("signature*", oidText), col("disagrees", oidBool), col("created_at", oidTime)},
		[]any{id(1), "sender", id(2), id(3), "12", "1", "11", "4", "t", "{self_harm}", "{912000,0,1000,250000}", "{plan.means}", "c2ln", "f", at}},
	"erasures": {[]relay.Column{col("id*", oidUUID), col("organization_id", oidUUID), col("kind", oidText), col("session_id", oidUUID),
		col("person_id", oidUUID), col("status", oidText), col("counts", oidJSONB), col("audit_seq", oidInt8), col("created_at", oidTime)},
		[]any{id(14), id(3), "session", id(2), nil, "shredded", `{"wraps": 3, "messages": 2}`, "40", at}},
	"assessments": {[]relay.Column{col("id*", oidUUID), col("organization_id*", oidUUID), col("session_id*", oidUUID), col("message_id", oidUUID),
		col("position", oidInt8), col("source", oidText), col("status", oidText), col("reason", oidText), col("level", oidInt2),
		col("harm_others", oidBool), col("sentiment", oidFloat4), col("topics", oidTexts), col("evidence", oidJSONB), col("alert", oidBool),
		col("created_at", oidTime)}, []any{id(9), id(3), id(2), id(1), "12", "sidecar", "assessed", nil, "4", "f", "-0.75", "{sleep,\"self worth\"}",
		`[{"rule": "r1", "start": 0, "end": 4}]`, "t", at}},
	"alerts": {[]relay.Column{col("id*", oidUUID), col("organization_id*", oidUUID), col("session_id*", oidUUID), col("message_id", oidUUID),
		col("level", oidInt2), col("status", oidText), col("version", oidInt4), col("raised_at", oidTime)},
		[]any{id(10), id(3), id(2), id(1), "4", "open", "1", at}},
	"alert_recipients": {[]relay.Column{col("alert_id*", oidUUID), col("user_id*", oidUUID), col("organization_id", oidUUID),
		col("session_id*", oidUUID), col("reason", oidText), col("created_at", oidTime), col("ended_at", oidTime)},
		[]any{id(10), id(6), id(3), id(2), "on_call", at, nil}},
	"alert_events": {[]relay.Column{col("id*", oidUUID), col("alert_id", oidUUID), col("organization_id*", oidUUID), col("session_id*", oidUUID),
		col("kind", oidText), col("actor_id", oidUUID), col("version", oidInt4), col("created_at", oidTime)},
		[]any{id(11), id(10), id(3), id(2), "acknowledged", id(6), "2", at}},
	"suggestions": {[]relay.Column{col("id*", oidUUID), col("organization_id*", oidUUID), col("session_id*", oidUUID), col("message_id", oidUUID),
		col("requested_by", oidUUID), col("status", oidText), col("reason", oidText), col("source", oidText), col("move", oidText),
		col("sent_message_id", oidUUID), col("version", oidInt4), col("created_at", oidTime)},
		[]any{id(13), id(3), id(2), id(1), nil, "offered", nil, "bank", "reflect-1", nil, "1", at}},
	"suggestion_seals": {[]relay.Column{col("suggestion_id*", oidUUID), col("device_id*", oidUUID), col("user_id", oidUUID),
		col("organization_id", oidUUID), col("session_id*", oidUUID), col("message_id", oidUUID), col("sealed", oidText), col("signature", oidText),
		col("created_at", oidTime)}, []any{id(13), id(5), id(6), id(3), id(2), id(1), "c2VhbGVk", "c2ln", at}},
	"memberships": {[]relay.Column{col("organization_id*", oidUUID), col("user_id*", oidUUID), col("role", oidText), col("started_at", oidTime),
		col("ended_at", oidTime)}, []any{id(3), id(4), "client", at, nil}},
	"oncall_shifts": {[]relay.Column{col("organization_id*", oidUUID), col("user_id*", oidUUID), col("starts_at*", oidTime), col("ends_at", oidTime),
		col("flagged_at", oidTime)}, []any{id(3), id(6), at, at, nil}},
	"organizations": {[]relay.Column{col("id*", oidUUID), col("suggestions", oidText), col("require_aal2", oidBool), col("created_at", oidTime)},
		[]any{id(3), "off", "t", at}},
	"devices": {[]relay.Column{col("id*", oidUUID), col("user_id", oidUUID), col("kind", oidText), col("revoked_at", oidTime)},
		[]any{id(5), id(4), "participant", nil}},
	"ended_logins": {[]relay.Column{col("login_id*", oidUUID), col("user_id", oidUUID), col("ended_at", oidTime)}, []any{id(12), id(4), at}},
	"crisis_policies": {[]relay.Column{col("organization_id*", oidUUID), col("page_at_level", oidInt2), col("version", oidInt4)},
		[]any{id(3), "4", "2"}},
}

// TestEveryTablesRowsGoWhereTheyShould compares what each table's changes yield with testdata/tables.json.
func TestEveryTablesRowsGoWhereTheyShould(t *testing.T) {
	t.Parallel()
	type yields struct {
		Topic   string          `json:"topic"`
		Event   string          `json:"event,omitempty"`
		ID      string          `json:"id"`
		Payload json.RawMessage `json:"payload"`
	}
	got := map[string]map[string][]yields{}
	for name, of := range everyTable {
		made := table{name, of.columns}
		keys := make([]any, len(of.columns)) // a delete has the replica identity only; the rest is null
		for i, c := range of.columns {
			if c.Key {
				keys[i] = of.values[i]
			}
		}
		got[name] = map[string][]yields{}
		for op, row := range map[string]relay.Row{
			"insert": made.row(relay.Insert, 7, 1, of.values...), "update": made.row(relay.Update, 7, 1, of.values...),
			"delete": made.row(relay.Delete, 7, 1, keys...), "truncate": {Op: relay.Truncate, Schema: "public", Table: name, Commit: 7, XID: 7},
		} {
			for _, d := range relay.Derive([]relay.Row{row}) {
				got[name][op] = append(got[name][op], yields{d.Topic, d.Event, d.ID, json.RawMessage(d.Payload)})
			}
		}
	}
	compare(t, "tables.json", got)
}

func compare(t *testing.T, name string, got any) {
	t.Helper()
	data, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) {
		t.Fatalf("%s differs; run with -update and look at the difference", path)
	}
}

func TestAColumnThatTheLogDoesNotCarryIsLeftOut(t *testing.T) {
	t.Parallel()
	got := relay.Derive([]relay.Row{messages.row(relay.Update, 1, 0, id(1), id(2), "3", unchanged{})})
	if len(got) != 1 || got[0].Payload != `{"id":"`+id(1)+`","session_id":"`+id(2)+`","position":3}` {
		t.Fatalf("%+v", got)
	}
}

// TestARowTooLargeIsSentByItsKey: a body that only grows in JSON could else stop everything behind it.
func TestARowTooLargeIsSentByItsKey(t *testing.T) {
	t.Parallel()
	got := relay.Derive([]relay.Row{messages.row(relay.Insert, 1, 0, id(1), id(2), "3", strings.Repeat("\x01", 300<<10))})
	if len(got) != 1 || got[0].Topic != "session:"+id(2) || got[0].Payload != `{"id":"`+id(1)+`"}` {
		t.Fatalf("%d drafts, %.100v", len(got), got)
	}
}

func TestRowsThatAreNotOursYieldNothing(t *testing.T) {
	t.Parallel()
	foreign := messages.row(relay.Insert, 1, 0, id(1), id(2), "3", "x")
	foreign.Schema = "other"
	stranger := table{"recipes", messages.columns}
	for name, row := range map[string]relay.Row{
		"another schema":      foreign,
		"another table":       stranger.row(relay.Insert, 1, 0, id(1), id(2), "3", "x"),
		"a message's prefix":  {Op: relay.Message, Prefix: "vigil.heartbeat"},
		"a topic not known":   messages.row(relay.Insert, 1, 0, id(1), nil, "3", "x"),
		"fewer values":        messages.row(relay.Insert, 1, 0),
		"a deleted message":   messages.row(relay.Delete, 1, 0, id(1), nil, nil, nil),
		"truncated, harmless": {Op: relay.Truncate, Schema: "public", Table: "messages"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := relay.Derive([]relay.Row{row}); len(got) != 0 {
				t.Fatalf("%+v", got)
			}
		})
	}
}

func TestRevocationsComeFirstAndOnce(t *testing.T) {
	t.Parallel()
	topics := func(rows ...relay.Row) string {
		var names []string
		for _, d := range relay.Derive(rows) {
			name := d.Topic[:strings.IndexAny(d.Topic+":", ":")]
			if d.Topic == "$revocation" {
				name += d.Payload
			}
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	devices := table{"devices", everyTable["devices"].columns}
	moved := memberships.row(relay.Update, 1, 0, id(9), id(2), "client", nil)
	moved.Old = memberships.row(relay.Insert, 1, 0, id(9), id(1), "client", nil).New
	for name, c := range map[string]struct {
		rows []relay.Row
		want string
	}{
		"in each transaction": {[]relay.Row{messages.row(relay.Insert, 1, 0, id(1), id(2), "1", "x"),
			memberships.row(relay.Update, 1, 1, id(9), id(1), "client", nil), messages.row(relay.Insert, 2, 0, id(1), id(2), "1", "x"),
			memberships.row(relay.Update, 2, 1, id(9), id(1), "client", nil)},
			`$revocation{"kind":"user","id":"` + id(1) + `","xid":1} session org $revocation{"kind":"user","id":"` + id(1) + `","xid":2} session org`},
		"once": {[]relay.Row{memberships.row(relay.Update, 1, 0, id(9), id(1), "client", nil), memberships.row(relay.Update, 1, 1, id(9), id(1), "client", nil)},
			`$revocation{"kind":"user","id":"` + id(1) + `","xid":1} org org`},
		"of both when a key changes hands": {[]relay.Row{moved},
			`$revocation{"kind":"user","id":"` + id(2) + `","xid":1} $revocation{"kind":"user","id":"` + id(1) + `","xid":1} org`},
		"a device of nobody":            {[]relay.Row{devices.row(relay.Insert, 1, 0, id(5), nil, "analysis", nil)}, ``},
		"a deleted device, whose is it": {[]relay.Row{devices.row(relay.Delete, 1, 0, id(5), nil, nil, nil)}, `$revocation{"kind":"all","xid":1}`},
		"a truncated table":             {[]relay.Row{{Op: relay.Truncate, Schema: "public", Table: "memberships", XID: 4}}, `$revocation{"kind":"all","xid":4}`},
		"a hint":                        {[]relay.Row{{Op: relay.Message, Prefix: "vigil.ddl", XID: 4}}, `$revocation{"kind":"policy","xid":4}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := topics(c.rows...); got != c.want {
				t.Fatalf("\n%s, want\n%s", got, c.want)
			}
		})
	}
}

func TestManyScopesBecomeOneAndLoginsStillEnd(t *testing.T) {
	t.Parallel()
	var rows []relay.Row
	for i := range 400 {
		rows = append(rows, memberships.row(relay.Update, 1, uint32(i), id(9), id(i), "client", nil)) //nolint:gosec // small
	}
	rows = append(rows, table{"ended_logins", everyTable["ended_logins"].columns}.row(relay.Insert, 1, 400, id(12), id(4), at))
	got := relay.Derive(rows)
	if len(got) != 402 || got[0].Payload != `{"kind":"login","id":"`+id(12)+`","xid":1}` || got[1].Payload != `{"kind":"all","xid":1}` {
		t.Fatalf("%d drafts, %+v", len(got), got[:2])
	}
}
