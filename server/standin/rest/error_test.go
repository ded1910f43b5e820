package rest

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestDatabaseErrorsHavePostgRESTsStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code, message string
		role          string
		status        int
	}{
		"a refusal of a stranger":     {"42501", "permission denied for table t", "anon", 401},
		"a refusal of a person":       {"42501", "permission denied for table t", "authenticated", 403},
		"a refusal of the secret key": {"42501", "permission denied for table t", "service_role", 403},
		"a duplicate":                 {"23505", "", "anon", 409},
		"a reference to nothing":      {"23503", "", "anon", 409},
		"a null":                      {"23502", "", "anon", 400},
		"a text that is no number":    {"22P02", "", "anon", 400},
		"an unknown column":           {"42703", "", "anon", 400},
		"an unknown table":            {"42P01", "", "anon", 404},
		"an unknown function":         {"42883", "", "anon", 404},
		"a policy that calls itself":  {"42P17", "", "anon", 500},
		"no where clause":             {"21000", "UPDATE requires a WHERE clause", "anon", 400},
		"several rows in a subquery":  {"21000", "more than one row returned by a subquery", "anon", 500},
		"an unknown role":             {"22023", `role "x" does not exist`, "x", 401},
		"a parameter that is wrong":   {"22023", "invalid value", "anon", 400},
		"a write in a read":           {"25006", "", "anon", 405},
		"a time-out":                  {"57014", "", "anon", 500},
		"a shutdown":                  {"57P01", "", "anon", 503},
		"a full disk":                 {"53100", "", "anon", 503},
		"a serialization failure":     {"40001", "", "anon", 500},
		"a lost connection":           {"08006", "", "anon", 503},
		"raise":                       {"P0001", "", "anon", 400},
		"no data found":               {"P0002", "", "anon", 500},
		"a status of its own":         {"PT429", "", "anon", 429},
		"a status that is none":       {"PTxyz", "", "anon", 500},
		"a code of its own":           {"VG001", "", "anon", 400},
		"an internal error":           {"XX000", "", "anon", 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := fromPostgres(&pgconn.PgError{Code: c.code, Message: c.message}, c.role)
			if e.Status != c.status || e.Code != c.code || e.Message != c.message || e.Details != nil || e.Hint != nil {
				t.Errorf("answer = %+v, want %d", e, c.status)
			}
		})
	}
}

func TestAFunctionGivesAnAnswerOfItsOwn(t *testing.T) {
	t.Parallel()
	e := fromPostgres(&pgconn.PgError{
		Code: "PGRST", Message: `{"code":"mine","message":"said","details":"why","hint":"how"}`, Detail: `{"status":402,"headers":{"X-Mine":"yes"}}`,
	}, "anon")
	w := httptest.NewRecorder()
	e.write(w)
	if w.Code != 402 || w.Header().Get("X-Mine") != "yes" || strings.TrimSpace(w.Body.String()) != `{"code":"mine","details":"why","hint":"how","message":"said"}` {
		t.Errorf("answer = %d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, broken := range []*pgconn.PgError{{Code: "PGRST", Message: "x"}, {Code: "PGRST", Message: `{"code":"a","message":"b"}`}, {Code: "PGRST", Message: `{"code":"a","message":"b"}`, Detail: `{"status":9}`}} {
		if e := fromPostgres(broken, "anon"); e.Code != "PGRST121" || e.Status != 500 {
			t.Errorf("%v: %+v", broken, e)
		}
	}
}

func TestWhatIsNoDatabaseErrorIsNotTold(t *testing.T) {
	t.Parallel()
	if e := fromPostgres(errors.New("dial postgres://me:secret@host"), "anon"); e.Status != 503 || strings.Contains(e.Message, "secret") || e.Details != nil {
		t.Errorf("answer = %+v", e)
	}
}
