package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	versionHeader = "X-Supabase-Api-Version"
	version2024   = "2024-01-01"
)

// Error is an answer that Supabase Auth would give. Its codes and messages are Auth's own.
// Source: supabase/auth, internal/api/apierrors/errorcode.go and internal/api/errors.go.
type Error struct {
	Status  int
	Code    string
	Message string
	Reasons []string // of a weak password
}

// Error names the code only: a message may quote what someone sent.
func (e *Error) Error() string { return "auth: " + e.Code }

func fail(status int, code, message string, arguments ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(message, arguments...)}
}

func invalid(message string, arguments ...any) *Error {
	return fail(http.StatusBadRequest, "validation_failed", message, arguments...)
}

func unexpected(message string, arguments ...any) *Error {
	return fail(http.StatusInternalServerError, "unexpected_failure", message, arguments...)
}

func tooSoon(wait time.Duration) *Error {
	return fail(http.StatusTooManyRequests, "over_email_send_rate_limit",
		"For security purposes, you can only request this after %d seconds.", int(wait/time.Second)+1)
}

// write answers in the form that the caller's API version asks for.
func (e *Error) write(w http.ResponseWriter, r *http.Request) {
	var weak any
	if e.Reasons != nil {
		weak = map[string][]string{"reasons": e.Reasons}
	}
	if r.Header.Get(versionHeader) >= version2024 {
		w.Header().Set(versionHeader, version2024)
		writeJSON(w, e.Status, struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Weak    any    `json:"weak_password,omitempty"`
		}{e.Code, e.Message, weak})
		return
	}
	writeJSON(w, e.Status, struct {
		Status  int    `json:"code"`
		Code    string `json:"error_code"`
		Message string `json:"msg"`
		Weak    any    `json:"weak_password,omitempty"`
	}{e.Status, e.Code, e.Message, weak})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":500,"error_code":"unexpected_failure","msg":"Unexpected failure"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
