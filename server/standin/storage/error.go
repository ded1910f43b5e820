package storage

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// Error is an answer that Storage would give. Its HTTP status is 400 for all but 500s: the true one is in the body, as
// statusCode. Source: supabase/storage, src/http/error-handler.ts and src/internal/errors/codes.ts.
type Error struct {
	Status  int
	Code    string
	Kind    string // the body's "error"; empty: Code
	Message string
}

// Error names the code only: a message may quote a name that someone sent.
func (e *Error) Error() string { return "storage: " + e.Code }

func (e *Error) write(w http.ResponseWriter) {
	status := http.StatusBadRequest
	if e.Status >= http.StatusInternalServerError {
		status = e.Status
	}
	kind := e.Kind
	if kind == "" {
		kind = e.Code
	}
	writeJSON(w, status, map[string]string{
		"statusCode": strconv.Itoa(e.Status), "code": e.Code, "error": kind, "message": e.Message,
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"statusCode":"500","error":"InternalError","message":"Internal server error"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func notHere() *Error {
	return &Error{
		Status: http.StatusNotImplemented, Code: "NotImplemented",
		Message: "The stand-in has no such call. See server/standin/DIFFERENCES.md",
	}
}

func accessDenied(message string) *Error {
	return &Error{Status: http.StatusForbidden, Code: "AccessDenied", Kind: "Unauthorized", Message: message}
}

func noSuchBucket() *Error {
	return &Error{Status: http.StatusNotFound, Code: "NoSuchBucket", Kind: "Bucket not found", Message: "Bucket not found"}
}

func noSuchKey() *Error {
	return &Error{Status: http.StatusNotFound, Code: "NoSuchKey", Kind: "not_found", Message: "Object not found"}
}

func invalidKey(name string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "InvalidKey", Message: "Invalid key: " + name}
}

func alreadyExists() *Error {
	return &Error{Status: http.StatusConflict, Code: "KeyAlreadyExists", Kind: "Duplicate", Message: "The resource already exists"}
}

func tooLarge() *Error {
	return &Error{
		Status: http.StatusRequestEntityTooLarge, Code: "EntityTooLarge", Kind: "Payload too large",
		Message: "The object exceeded the maximum allowed size",
	}
}

func invalidType(media string) *Error {
	return &Error{
		Status: http.StatusUnsupportedMediaType, Code: "InvalidMimeType", Kind: "invalid_mime_type",
		Message: "mime type " + media + " is not supported",
	}
}

func invalidRequest(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "InvalidRequest", Kind: "Error", Message: message}
}

// fromError is Storage's translation of what Postgres says.
func fromError(err error) *Error {
	var told *Error
	if errors.As(err, &told) {
		return told
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42501":
			return accessDenied("new row violates row-level security policy")
		case "23505":
			return alreadyExists()
		case "57014":
			return &Error{Status: 544, Code: "DatabaseTimeout", Message: "The connection to the database timed out"}
		}
		return &Error{Status: http.StatusInternalServerError, Code: "DatabaseError", Message: "database error, code: " + pg.Code}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "InternalError", Message: "Internal server error"}
}
