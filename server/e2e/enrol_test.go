package e2e_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// enrol makes somebody who is signed in, without asking Auth for it: a row of auth.users, a login and a token of the project's
// key. role "": no member of anything.
func (s *stack) enrol(t testing.TB, organization uuid.UUID, role, aal string) *person {
	t.Helper()
	p := &person{id: uuid.New(), role: role}
	p.email = p.id.String() + "@people.example"
	s.sql(t, `insert into auth.users (id, aud, role, email, email_confirmed_at, created_at, updated_at)
		values ($1, 'authenticated', 'authenticated', $2, now(), now(), now())`, p.id, p.email)
	s.newLogin(t, p, aal)
	if role != "" {
		s.sql(t, "insert into public.memberships (organization_id, user_id, role) values ($1, $2, $3)", organization, p.id, role)
	}
	return p
}

// newLogin signs the person in, with a second factor if aal says so.
func (s *stack) newLogin(t testing.TB, p *person, aal string) {
	t.Helper()
	p.login = uuid.NewString()
	s.sql(t, `insert into auth.sessions (id, user_id, created_at, updated_at, aal) values ($1, $2, now(), now(), $3::text::auth.aal_level)`, p.login, p.id, aal)
	if err := s.newToken(p, aal, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// newToken gives the person another token of the same login.
func (s *stack) newToken(p *person, aal string, life time.Duration) error {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": s.supabaseURL + "/auth/v1", "sub": p.id.String(), "aud": "authenticated", "role": "authenticated", "iat": now.Unix(),
		"exp": now.Add(life).Unix(), "aal": aal, "session_id": p.login, "email": p.email, "jti": uuid.NewString(),
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	p.claims = string(raw)
	p.token, err = s.keys.Signing.Sign(claims)
	return err
}
