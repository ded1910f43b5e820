// Package telemetry is how the sidecar speaks of itself: log lines, metrics, health, and the trace of a message.
//
// Guarantees: a log line carries only keys of package logkey and an error's text; metrics have no ids as labels; a trace
// holds instants and ids, never a message's text. Not guaranteed: that an error's text is harmless; the packages that
// make errors promise that, and the canary test holds them to it.
package telemetry

import (
	"context"
	"io"
	"log/slog"

	"vigil/server/internal/logkey"
)

// NewLogger returns a logger that writes to w as "json" or "text" and drops every attribute whose key is not in logkey.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(w, o)
	if format == "text" {
		h = slog.NewTextHandler(w, o)
	}
	return slog.New(&keyFilter{next: h})
}

// keyFilter passes on only attributes whose key is allowed. Groups are dropped: no line of ours uses them.
type keyFilter struct{ next slog.Handler }

func (f *keyFilter) Enabled(ctx context.Context, l slog.Level) bool { return f.next.Enabled(ctx, l) }

func (f *keyFilter) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if logkey.Allowed(a.Key) {
			clean.AddAttrs(a)
		}
		return true
	})
	return f.next.Handle(ctx, clean)
}

func (f *keyFilter) WithAttrs(attrs []slog.Attr) slog.Handler {
	kept := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		if logkey.Allowed(a.Key) {
			kept = append(kept, a)
		}
	}
	return &keyFilter{next: f.next.WithAttrs(kept)}
}

func (f *keyFilter) WithGroup(string) slog.Handler { return f }
