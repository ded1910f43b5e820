package auth

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// admin lets a handler be called with the secret key only (or another token whose role is service_role).
func (s *Server) admin(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		claims, err := s.claims(r)
		if err != nil {
			return err
		}
		if role, _ := claims["role"].(string); role != "service_role" && role != "supabase_admin" {
			return fail(http.StatusForbidden, "not_admin", "User not allowed")
		}
		return h(w, r)
	}
}

// adminUser is what an admin says of a user.
type adminUser struct {
	ID           string         `json:"id"`
	Role         string         `json:"role"`
	Email        string         `json:"email"`
	Phone        string         `json:"phone"`
	Password     *string        `json:"password"`
	EmailConfirm bool           `json:"email_confirm"`
	UserMetadata map[string]any `json:"user_metadata"`
	AppMetadata  map[string]any `json:"app_metadata"`
	BanDuration  string         `json:"ban_duration"`
}

func (a *adminUser) read(r *http.Request) (err error) {
	if err := decode(r, a); err != nil {
		return err
	}
	if a.Phone != "" {
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in has no phones")
	}
	if a.Email != "" {
		if a.Email, err = address(a.Email); err != nil {
			return err
		}
	}
	if a.Password != nil && *a.Password != "" {
		return strong(*a.Password)
	}
	return nil
}

func (s *Server) createUser(w http.ResponseWriter, r *http.Request) error {
	var a adminUser
	if err := a.read(r); err != nil {
		return err
	}
	if a.Email == "" {
		return invalid("Cannot create a user without either an email or phone")
	}
	n := newcomer{email: a.Email, confirmed: a.EmailConfirm, role: a.Role, appMetadata: a.AppMetadata, userMetadata: a.UserMetadata}
	if a.ID != "" {
		id, err := uuid.Parse(a.ID)
		if err != nil || id == uuid.Nil {
			return invalid("ID must conform to the uuid v4 format")
		}
		n.id = id
	}
	if a.Password != nil {
		n.password = *a.Password
	}
	var u *user
	if err := s.within(r.Context(), func(tx pgx.Tx) (err error) {
		if err := free(r.Context(), tx, a.Email, uuid.Nil); err != nil {
			return err
		}
		if u, err = s.create(r.Context(), tx, n); err != nil {
			return err
		}
		if u, err = s.ban(r.Context(), tx, u, a.BanDuration); err != nil {
			return err
		}
		return nil
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, u)
	return nil
}

// free refuses an address that another user has.
func free(ctx context.Context, tx pgx.Tx, email string, but uuid.UUID) error {
	u, err := userByEmail(ctx, tx, email)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return err
	case u.ID == but:
		return nil
	}
	return fail(http.StatusUnprocessableEntity, "email_exists", "A user with this email address has already been registered")
}

// ban keeps a user out for a while; "none" lets them in again.
func (s *Server) ban(ctx context.Context, tx pgx.Tx, u *user, duration string) (*user, error) {
	if duration == "" {
		return u, nil
	}
	var until *time.Time
	if duration != "none" {
		d, err := time.ParseDuration(duration)
		if err != nil {
			return nil, invalid("invalid format for ban duration: %v", err)
		}
		end := s.now().Add(d)
		until = &end
	}
	if _, err := tx.Exec(ctx, `update auth.users set banned_until = $2, updated_at = $3 where id = $1`, u.ID, until, s.now()); err != nil {
		return nil, fmt.Errorf("auth: ban a user: %w", err)
	}
	return userByID(ctx, tx, u.ID)
}

// named runs do for the user in the path.
func (s *Server) named(r *http.Request, do func(pgx.Tx, *user) error) error {
	id, err := uuid.Parse(r.PathValue("user"))
	if err != nil {
		return fail(http.StatusNotFound, "validation_failed", "user_id must be an UUID")
	}
	return s.within(r.Context(), func(tx pgx.Tx) error {
		u, err := userByID(r.Context(), tx, id)
		if isNotFound(err) {
			return fail(http.StatusNotFound, "user_not_found", "User not found")
		}
		if err != nil {
			return err
		}
		return do(tx, u)
	})
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request) error {
	return s.named(r, func(_ pgx.Tx, u *user) error {
		writeJSON(w, http.StatusOK, u)
		return nil
	})
}

func (s *Server) updateUser(w http.ResponseWriter, r *http.Request) error {
	var a adminUser
	if err := a.read(r); err != nil {
		return err
	}
	var changed *user
	if err := s.named(r, func(tx pgx.Tx, u *user) (err error) {
		if err := s.applyAdmin(r.Context(), tx, u, a); err != nil {
			return err
		}
		if changed, err = userByID(r.Context(), tx, u.ID); err != nil {
			return err
		}
		changed, err = s.ban(r.Context(), tx, changed, a.BanDuration)
		return err
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, changed)
	return nil
}

func (s *Server) applyAdmin(ctx context.Context, tx pgx.Tx, u *user, a adminUser) error {
	if a.Role != "" {
		if _, err := tx.Exec(ctx, `update auth.users set role = $2, updated_at = $3 where id = $1`, u.ID, a.Role, s.now()); err != nil {
			return fmt.Errorf("auth: write a role: %w", err)
		}
	}
	if a.EmailConfirm {
		if err := s.confirm(ctx, tx, u.ID); err != nil {
			return err
		}
	}
	if a.Password != nil {
		if err := s.setPassword(ctx, tx, u, *a.Password, uuid.Nil); err != nil {
			return err
		}
	}
	if a.Email != "" && a.Email != u.Email {
		if err := free(ctx, tx, a.Email, u.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update auth.users set email = $2, updated_at = $3 where id = $1`, u.ID, a.Email, s.now()); err != nil {
			return fmt.Errorf("auth: write an address: %w", err)
		}
		if _, err := tx.Exec(ctx, `update auth.identities set identity_data = identity_data || jsonb_build_object('email', $2::text), updated_at = $3
			where user_id = $1 and provider = 'email'`, u.ID, a.Email, s.now()); err != nil {
			return fmt.Errorf("auth: write an address: %w", err)
		}
	}
	if a.AppMetadata != nil {
		if err := s.merge(ctx, tx, u.ID, "raw_app_meta_data", a.AppMetadata); err != nil {
			return err
		}
	}
	if a.UserMetadata != nil {
		return s.merge(ctx, tx, u.ID, "raw_user_meta_data", a.UserMetadata)
	}
	return nil
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Soft bool `json:"should_soft_delete"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if body.Soft {
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in deletes users for good only")
	}
	if err := s.named(r, func(tx pgx.Tx, u *user) error {
		if _, err := tx.Exec(r.Context(), `delete from auth.users where id = $1`, u.ID); err != nil {
			return unexpected("Database error deleting user")
		}
		return nil
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

// Pages of the user list.
const (
	defaultPerPage = 50
	maxPerPage     = 1000
)

func (s *Server) listUsers(w http.ResponseWriter, r *http.Request) error {
	page, perPage := positive(r, "page", 1), min(positive(r, "per_page", defaultPerPage), maxPerPage)
	users := []*user{}
	var total int
	if err := s.within(r.Context(), func(tx pgx.Tx) error {
		if err := tx.QueryRow(r.Context(), `select count(*) from auth.users where aud = $1`, audience).Scan(&total); err != nil {
			return fmt.Errorf("auth: count users: %w", err)
		}
		rows, err := tx.Query(r.Context(), `select id from auth.users where aud = $1 order by created_at desc, id limit $2 offset $3`,
			audience, perPage, (page-1)*perPage)
		if err != nil {
			return fmt.Errorf("auth: list users: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("auth: list users: %w", err)
		}
		for _, id := range ids {
			u, err := userByID(r.Context(), tx, id)
			if err != nil {
				return err
			}
			users = append(users, u)
		}
		return nil
	}); err != nil {
		return err
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(total))
	last := max((total+perPage-1)/perPage, 1)
	link := fmt.Sprintf(`</admin/users?page=%d&per_page=%d>; rel="last"`, last, perPage)
	if page < last {
		link = fmt.Sprintf(`</admin/users?page=%d&per_page=%d>; rel="next", `, page+1, perPage) + link
	}
	w.Header().Set("Link", link)
	writeJSON(w, http.StatusOK, map[string]any{"users": users, "aud": audience})
	return nil
}

func positive(r *http.Request, name string, otherwise int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && n > 0 && n < 1_000_000 {
		return n
	}
	return otherwise
}

func (s *Server) listFactors(w http.ResponseWriter, r *http.Request) error {
	return s.named(r, func(_ pgx.Tx, u *user) error {
		factors := u.Factors
		if factors == nil {
			factors = []factor{}
		}
		writeJSON(w, http.StatusOK, factors)
		return nil
	})
}

func (s *Server) deleteFactor(w http.ResponseWriter, r *http.Request) error {
	var f factor
	if err := s.named(r, func(tx pgx.Tx, u *user) (err error) {
		if f, err = u.factor(r); err != nil {
			return err
		}
		return removeFactor(r.Context(), tx, f.ID)
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, f)
	return nil
}
