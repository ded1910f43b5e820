package relay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vigil/realtime"
)

// ScopeKind says whose grants a Scope is about.
type ScopeKind string

// The kinds of Scope.
const (
	ScopeUser    ScopeKind = "user"    // everything of the user ID
	ScopeSession ScopeKind = "session" // the topics of the session ID, whoever is on them
	ScopeLogin   ScopeKind = "login"   // the login ID has ended
	ScopeAll     ScopeKind = "all"
	// ScopePolicy is a hint that policies may have changed. Anyone signed in may cause it: look before acting.
	ScopePolicy ScopeKind = "policy"
)

// Scope names the grants that a committed change may have ended.
type Scope struct {
	Kind ScopeKind `json:"kind"`
	ID   string    `json:"id,omitempty"`
	// XID of the transaction. A grant asked for because of this scope counts only if its snapshot shows the transaction.
	XID uint32 `json:"xid"`
	// Counter rises with every scope of one epoch.
	Counter uint64 `json:"-"`
}

// Matches tells whether a channel's grant is among those of the scope.
func (s Scope) Matches(m realtime.Member) bool {
	switch s.Kind {
	case ScopeUser:
		return m.UserID == s.ID
	case ScopeLogin:
		return m.LoginID == s.ID
	case ScopeSession:
		_, id, _ := strings.Cut(m.Topic, ":")
		return id == s.ID && (strings.HasPrefix(m.Topic, topicSession) || strings.HasPrefix(m.Topic, topicCare))
	default:
		return true
	}
}

// revocation says that a change of a table's row touches the grants of what one of its columns names.
type revocation struct {
	kind   ScopeKind
	column string
}

// maxScopes of one transaction in one entry of LOG; more become one of everything.
const maxScopes = 256

// appendRevocations appends each scope of a transaction once.
func appendRevocations(drafts []draft, rows []Row) []draft {
	var scopes []Scope
	seen := map[Scope]bool{}
	add := func(s Scope) {
		if !seen[s] {
			seen[s] = true
			scopes = append(scopes, s)
		}
	}
	for i := range rows {
		scopesOf(&rows[i], add)
	}
	if len(scopes) == 0 {
		return drafts
	}
	if len(scopes) > maxScopes {
		// A login's end is for good, which asking again for its grant is not.
		scopes = slices.DeleteFunc(scopes, func(s Scope) bool { return s.Kind != ScopeLogin })
		scopes = append(scopes, Scope{Kind: ScopeAll, XID: rows[0].XID})
	}
	for _, s := range scopes {
		payload, err := json.Marshal(s)
		if err != nil {
			panic("relay: a scope is plain text and numbers: " + err.Error())
		}
		d := draft{topic: controlRevocation, payload: payload}
		d.id = idOf(&rows[0], d.topic, payload)
		drafts = append(drafts, d)
	}
	return drafts
}

// scopesOf gives what one row revokes. A row that should name someone and does not, for the log has its key only, revokes all.
func scopesOf(r *Row, add func(Scope)) {
	if r.Op == Message {
		if r.Prefix == policyPrefix {
			add(Scope{Kind: ScopePolicy, XID: r.XID})
		}
		return
	}
	t, ok := tables[r.Table]
	if !ok || r.Schema != publicSchema {
		return
	}
	for _, rev := range t.revokes {
		switch {
		case r.Op == Truncate || rev.kind == ScopeAll:
			add(Scope{Kind: ScopeAll, XID: r.XID})
			continue
		case isNull(r, rev.column): // a device of the analysis belongs to no one
			continue
		}
		id, known := r.text(rev.column)
		if known {
			add(Scope{Kind: rev.kind, ID: id, XID: r.XID})
		} else {
			add(Scope{Kind: ScopeAll, XID: r.XID})
		}
		if old, ok := r.textOf(r.Old, rev.column); ok && old != id && known { // the key changed hands
			add(Scope{Kind: rev.kind, ID: old, XID: r.XID})
		}
	}
}

// isNull tells whether the row as it is now says that the column is empty. A deleted row's null may just be left out.
func isNull(r *Row, column string) bool {
	for i := range r.Columns {
		if r.Columns[i].Name == column {
			return i < len(r.New) && r.New[i].Kind == Null
		}
	}
	return false
}

func parseScope(payload []byte, counter uint64) (Scope, error) {
	s := Scope{Counter: counter}
	if err := json.Unmarshal(payload, &s); err != nil {
		return Scope{}, fmt.Errorf("read revocation %d: %w", counter, err)
	}
	switch s.Kind {
	case ScopeUser, ScopeSession, ScopeLogin:
		if _, err := uuid.Parse(s.ID); err != nil {
			return Scope{Kind: ScopeAll, XID: s.XID, Counter: counter}, nil // rather too much than nothing
		}
	case ScopeAll, ScopePolicy:
	default:
		return Scope{Kind: ScopeAll, XID: s.XID, Counter: counter}, nil // of a newer version
	}
	return s, nil
}
