package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Error is an answer that PostgREST would give: a status and {code, details, hint, message}. Its codes and messages are
// PostgREST's. Source: PostgREST, src/PostgREST/Error.hs.
type Error struct {
	Status  int
	Code    string
	Message string
	Details any // string, or null
	Hint    any // string, or null
	Header  http.Header
}

// Error names the code only: a message may quote a value that someone sent.
func (e *Error) Error() string { return "rest: " + e.Code }

func (e *Error) write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Code    string `json:"code"`
		Details any    `json:"details"`
		Hint    any    `json:"hint"`
		Message string `json:"message"`
	}{e.Code, e.Details, e.Hint, e.Message})
	if err != nil {
		body = []byte(`{"code":"PGRSTX00","details":null,"hint":null,"message":"Internal error"}`)
	}
	for name, values := range e.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Proxy-Status", "PostgREST; error="+e.Code)
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}

func invalidQuery(kind, text string, at int) *Error {
	unexpected := "unexpected end of input"
	if at < len(text) {
		unexpected = fmt.Sprintf("unexpected %q", text[at:at+1])
	}
	return &Error{
		Status: http.StatusBadRequest, Code: "PGRST100",
		Message: fmt.Sprintf("%q (line 1, column %d)", "failed to parse "+kind+" ("+text+")", at+1),
		Details: unexpected,
	}
}

func invalidBody(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "PGRST102", Message: message}
}

func invalidRange(details string) *Error {
	return &Error{
		Status: http.StatusRequestedRangeNotSatisfiable, Code: "PGRST103", Message: "Requested range not satisfiable", Details: details,
	}
}

func unacceptableSchema(schema string, exposed []string) *Error {
	return &Error{
		Status: http.StatusNotAcceptable, Code: "PGRST106", Message: "Invalid schema: " + schema,
		Hint: "Only the following schemas are exposed: " + strings.Join(exposed, ", "),
	}
}

func unacceptableMedia(media string) *Error {
	return &Error{
		Status: http.StatusNotAcceptable, Code: "PGRST107", Message: "None of these media types are available: " + media,
	}
}

func notEmbedded(name string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: "PGRST108", Message: "'" + name + "' is not an embedded resource in this request",
		Hint: "Verify that '" + name + "' is included in the 'select' query parameter.",
	}
}

func notSingular(rows int64) *Error {
	return &Error{
		Status: http.StatusNotAcceptable, Code: "PGRST116", Message: "Cannot coerce the result to a single JSON object",
		Details: fmt.Sprintf("The result contains %d rows", rows),
	}
}

func unsupportedMethod(method string) *Error {
	return &Error{Status: http.StatusMethodNotAllowed, Code: "PGRST117", Message: "Unsupported HTTP method: " + method}
}

func invalidPreferences(names []string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: "PGRST122", Message: "Invalid preferences given with handling=strict",
		Details: "Invalid preferences: " + strings.Join(names, ", "),
	}
}

func aggregatesNotAllowed() *Error {
	return &Error{Status: http.StatusBadRequest, Code: "PGRST123", Message: "Use of aggregate functions is not allowed"}
}

func tooManyAffected(rows int64) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: "PGRST124", Message: "Query result exceeds max-affected preference constraint",
		Details: fmt.Sprintf("The query affects %d rows", rows),
	}
}

func invalidPath() *Error {
	return &Error{Status: http.StatusNotFound, Code: "PGRST125", Message: "Invalid path specified in request URL"}
}

func rootDisabled() *Error {
	return &Error{Status: http.StatusNotFound, Code: "PGRST126", Message: "Root endpoint metadata is disabled"}
}

func noRelationship(schema, parent, child string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: "PGRST200",
		Message: "Could not find a relationship between '" + parent + "' and '" + child + "' in the schema cache",
		Details: "Searched for a foreign key relationship between '" + parent + "' and '" + child + "' in the schema '" + schema + "', but no matches were found.",
	}
}

func noFunction(schema, name string, arguments []string) *Error {
	function := schema + "." + name
	message, searched := " without parameters", " without parameters"
	if len(arguments) > 0 {
		plural := ""
		if len(arguments) > 1 {
			plural = "s"
		}
		message = "(" + strings.Join(arguments, ", ") + ")"
		searched = " with parameter" + plural + " " + strings.Join(arguments, ", ")
	}
	return &Error{
		Status: http.StatusNotFound, Code: "PGRST202",
		Message: "Could not find the function " + function + message + " in the schema cache",
		Details: "Searched for the function " + function + searched + " or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache.",
	}
}

func ambiguousFunction(candidates []string) *Error {
	return &Error{
		Status: http.StatusMultipleChoices, Code: "PGRST203",
		Message: "Could not choose the best candidate function between: " + strings.Join(candidates, ", "),
		Hint:    "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
	}
}

func noColumn(table, column string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: "PGRST204",
		Message: "Could not find the '" + column + "' column of '" + table + "' in the schema cache",
	}
}

func noTable(schema, table string) *Error {
	return &Error{
		Status: http.StatusNotFound, Code: "PGRST205",
		Message: "Could not find the table '" + schema + "." + table + "' in the schema cache",
	}
}

// tokenError is a 401 about the bearer token: PGRST301 when it cannot be decoded, PGRST303 when a claim is wrong.
func tokenError(code, message string, details any) *Error {
	return &Error{
		Status: http.StatusUnauthorized, Code: code, Message: message, Details: details,
		Header: http.Header{"Www-Authenticate": {fmt.Sprintf("Bearer error=\"invalid_token\", error_description=%q", message)}},
	}
}

// fromPostgres turns whatever the database said into PostgREST's answer.
func fromPostgres(err error, role string) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return &Error{Status: http.StatusServiceUnavailable, Code: "PGRST000", Message: "Database connection error. Retrying the connection."}
	}
	if pg.Code == "PGRST" {
		return raised(pg)
	}
	e := &Error{Status: statusOf(pg, role != roleAnon), Code: pg.Code, Message: pg.Message}
	if pg.Detail != "" {
		e.Details = pg.Detail
	}
	if pg.Hint != "" {
		e.Hint = pg.Hint
	}
	if e.Status == http.StatusUnauthorized {
		e.Header = http.Header{"Www-Authenticate": {"Bearer"}}
	}
	return e
}

// raised reads a function's own answer: RAISE SQLSTATE 'PGRST' with JSON in MESSAGE and DETAIL.
func raised(pg *pgconn.PgError) *Error {
	var m struct{ Code, Message, Details, Hint *string }
	var d struct {
		Status  int
		Headers map[string]string
	}
	if json.Unmarshal([]byte(pg.Message), &m) != nil || m.Code == nil || m.Message == nil ||
		json.Unmarshal([]byte(pg.Detail), &d) != nil || d.Status < 100 || d.Status > 599 {
		return &Error{
			Status: http.StatusInternalServerError, Code: "PGRST121", Message: "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error",
		}
	}
	e := &Error{Status: d.Status, Code: *m.Code, Message: *m.Message, Header: http.Header{}}
	if m.Details != nil {
		e.Details = *m.Details
	}
	if m.Hint != nil {
		e.Hint = *m.Hint
	}
	for name, value := range d.Headers {
		e.Header.Set(name, value)
	}
	return e
}

// classes maps SQLSTATE prefixes to statuses, the longest prefix first. What is not listed is a 400.
var classes = map[string]int{
	"08": 503, "09": 500, "0L": 403, "0P": 403, "23503": 409, "23505": 409, "25006": 405, "25": 500, "28": 403, "2D": 500,
	"38": 500, "39": 500, "3B": 500, "40": 500, "53400": 500, "53": 503, "54": 500, "55": 500, "57P01": 503, "57": 500,
	"58": 500, "F0": 500, "HV": 500, "P0001": 400, "P0": 500, "XX": 500, "42883": 404, "42P01": 404, "42P17": 500,
}

func statusOf(pg *pgconn.PgError, authenticated bool) int {
	switch {
	case pg.Code == "42501" && authenticated:
		return http.StatusForbidden
	case pg.Code == "42501":
		return http.StatusUnauthorized
	case pg.Code == "21000" && !strings.HasSuffix(pg.Message, "requires a WHERE clause"):
		return http.StatusInternalServerError
	case pg.Code == "22023" && strings.HasPrefix(pg.Message, "role") && strings.HasSuffix(pg.Message, "does not exist"):
		return http.StatusUnauthorized
	case strings.HasPrefix(pg.Code, "PT"):
		if status, err := strconv.Atoi(pg.Code[2:]); err == nil && status >= 100 && status <= 599 {
			return status
		}
		return http.StatusInternalServerError
	}
	for _, length := range []int{5, 2} {
		if len(pg.Code) >= length {
			if status, ok := classes[pg.Code[:length]]; ok {
				return status
			}
		}
	}
	return http.StatusBadRequest
}
