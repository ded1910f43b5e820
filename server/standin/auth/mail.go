package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Mail is a message that Auth would have sent. It stays on this machine.
type Mail struct {
	To        string    `json:"to"`
	Kind      string    `json:"kind"` // signup or recovery: the type that /verify wants
	Token     string    `json:"token"`
	TokenHash string    `json:"token_hash"`
	Link      string    `json:"link"`
	SentAt    time.Time `json:"sent_at"`
}

// maxMail bounds the outbox; the oldest go first.
const maxMail = 500

type outbox struct {
	mu   sync.Mutex
	sent []Mail
}

func (o *outbox) add(m Mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent = append(o.sent, m); len(o.sent) > maxMail {
		o.sent = slices.Clone(o.sent[1:])
	}
}

// Mail returns what was sent to an address, or to everyone, the newest first.
func (s *Server) Mail(to string) []Mail {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	found := []Mail{}
	for _, m := range slices.Backward(s.outbox.sent) {
		if to == "" || strings.EqualFold(m.To, to) {
			found = append(found, m)
		}
	}
	return found
}

// mailKind is one of Auth's mails: where it notes the code and the time.
type mailKind struct {
	kind, token, sentAt string
	last                func(*user) *time.Time
}

var (
	mailConfirmation = mailKind{"signup", "confirmation_token", "confirmation_sent_at", func(u *user) *time.Time { return u.ConfirmationSentAt }}
	mailRecovery     = mailKind{"recovery", "recovery_token", "recovery_sent_at", func(u *user) *time.Time { return u.RecoverySentAt }}
)

// codeDigits is hosted Supabase's default.
const codeDigits = 6

func newCode() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("auth: make a code: %w", err)
	}
	return fmt.Sprintf("%0*d", codeDigits, n), nil
}

// hashCode is how Auth keeps a code.
func hashCode(email, code string) string {
	sum := sha256.Sum224([]byte(email + code))
	return hex.EncodeToString(sum[:])
}

// send mails a code, at most one a minute to one person.
func (s *Server) send(ctx context.Context, tx pgx.Tx, u *user, kind mailKind, redirect string) error {
	if last := kind.last(u); last != nil {
		if wait := last.Add(MailInterval).Sub(s.now()); wait > 0 {
			return tooSoon(wait)
		}
	}
	code, err := newCode()
	if err != nil {
		return err
	}
	hash := hashCode(u.Email, code)
	if _, err := tx.Exec(ctx, `update auth.users set `+kind.token+` = $2, `+kind.sentAt+` = $3 where id = $1`, u.ID, hash, s.now()); err != nil {
		return fmt.Errorf("auth: note a mail: %w", err)
	}
	if err := clearTokens(ctx, tx, u.ID, kind.token); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
		values ($1, $2, $3::auth.one_time_token_type, $4, $5, $6, $6)`, uuid.New(), u.ID, kind.token, hash, u.Email, s.now()); err != nil {
		return fmt.Errorf("auth: write a code: %w", err)
	}
	link := s.config.URL + "/auth/v1/verify?token=" + hash + "&type=" + kind.kind + "&redirect_to=" + url.QueryEscape(s.redirect(redirect))
	s.outbox.add(Mail{To: u.Email, Kind: kind.kind, Token: code, TokenHash: hash, Link: link, SentAt: s.now()})
	return nil
}

func clearTokens(ctx context.Context, tx pgx.Tx, id uuid.UUID, kind string) error {
	if _, err := tx.Exec(ctx, `delete from auth.one_time_tokens where user_id = $1 and token_type = $2::auth.one_time_token_type`, id, kind); err != nil {
		return fmt.Errorf("auth: end codes: %w", err)
	}
	return nil
}

// redirect is where a link leads: what was asked for if it is allowed, else the site.
func (s *Server) redirect(asked string) string {
	if asked == s.config.SiteURL || slices.Contains(s.config.RedirectURLs, asked) {
		return asked
	}
	return s.config.SiteURL
}
