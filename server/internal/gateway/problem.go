package gateway

import (
	"encoding/json"
	"net/http"
)

// Problem is an error answer as RFC 9457 has it. Detail says what to do next; neither field ever repeats the input.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Message   string `json:"message,omitempty"` // as Detail: what supabase-js and realtime-js show
	Code      string `json:"code"`
	RequestID string `json:"request_id,omitempty"`
}

// Stable codes of Problem, for clients to branch on.
const (
	CodeNotFound     = "not_found"
	CodeUnauthorized = "unauthorized"
	CodeTokenExpired = "token_expired"
	CodeRateLimited  = "rate_limited"
	CodeTooLarge     = "too_large"
	CodeTimeout      = "timeout"
	CodeBadRequest   = "bad_request"
	CodeUpstream     = "upstream_unavailable"
	CodeInternal     = "internal"
	CodeNotKept      = "not_kept"
)

// writeProblem answers with p's fields and the request's id.
func writeProblem(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Message: detail, Code: code, RequestID: RequestID(r.Context())}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone when this fails; there is nobody left to tell
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // as above
}
