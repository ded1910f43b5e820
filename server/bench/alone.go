package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/envelope"
	"vigil/server/internal/triage"
)

// work is what a loop over messages took.
type work struct {
	CPU time.Duration `json:"cpu"`
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
	Max time.Duration `json:"max"`
}

// sealedSet is how many different messages the loop goes over.
const sealedSet = 2000

// aloneChild does what cannot be spared of a message, and nothing else: verify its signature, open it, read its text, assess
// it. One goroutine, everything in memory.
func aloneChild(context.Context, json.RawMessage) (handler, error) {
	device, err := envelope.NewDevice(uuid.New())
	if err != nil {
		return handler{}, err
	}
	analysis, err := envelope.NewDevice(uuid.New())
	if err != nil {
		return handler{}, err
	}
	roster := envelope.Roster{device.Member(envelope.RoleClient), analysis.Member(envelope.RoleAnalysis)}
	slices.SortFunc(roster, func(a, b envelope.Member) int { return cmp.Compare(a.KID.String(), b.KID.String()) })
	session, consent := uuid.New(), uuid.New()
	e, _, err := envelope.MakeEpoch(device, session, 1, roster, consent)
	if err != nil {
		return handler{}, err
	}
	y := &therapy{device: device, epoch: e}
	set := make([]envelope.Message, sealedSet)
	for i := range set {
		if set[i], err = y.seal(textOf(i, crisisShare)); err != nil {
			return handler{}, err
		}
	}
	detector := assess.New()
	return handler{do: func(_ context.Context, c command) (any, error) {
		before, err := cpuOf(os.Getpid())
		if err != nil {
			return nil, err
		}
		var state triage.State
		policy := triage.DefaultCrisisPolicy(session)
		for i := range c.n {
			plain, err := e.Open(set[i%sealedSet])
			if err != nil {
				return nil, err
			}
			var content struct {
				Body *string `json:"body"`
			}
			if err := json.Unmarshal(plain, &content); err != nil || content.Body == nil {
				return nil, errors.Join(errors.New("no text"), err)
			}
			_, state = detector.Assess(*content.Body, state, policy)
		}
		after, err := cpuOf(os.Getpid())
		return work{CPU: after - before}, err
	}}, nil
}

// alone measures it once.
func (b *bench) alone(ctx context.Context, r *Result, n int) error {
	n = min(n, 20_000)
	b.progress.begin(whoAlone, 0)
	c, err := b.child(ctx, "alone", struct{}{})
	if err != nil {
		return err
	}
	defer c.stop()
	var w work
	if err := c.ask(ctx, &w, "run", n); err != nil {
		return err
	}
	r.add(whoAlone, "CPU", "µs/message", w.CPU.Seconds()*1e6/float64(n))
	return nil
}

// detectorChild assesses the package's labelled set, over and over, and times each message.
func detectorChild(_ context.Context, raw json.RawMessage) (handler, error) {
	var file string
	if err := json.Unmarshal(raw, &file); err != nil {
		return handler{}, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return handler{}, err
	}
	var texts []string
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var line struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return handler{}, err
		}
		texts = append(texts, line.Text)
	}
	texts = append(texts, ordinaryTexts...)
	detector, policy := assess.New(), triage.DefaultCrisisPolicy(uuid.New())
	return handler{do: func(_ context.Context, c command) (any, error) {
		var state triage.State
		took := make(durations, 0, c.n)
		for i := range c.n {
			began := time.Now()
			_, state = detector.Assess(texts[i%len(texts)], state, policy)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return work{P50: took[len(took)/2], P99: took[len(took)*99/100], Max: took[len(took)-1]}, nil
	}}, nil
}

// measureDetector times the detector alone, natively.
func measureDetector(ctx context.Context, b *bench) (*Result, error) {
	r := &Result{}
	file := filepath.Join(b.root, "server", "internal", "assess", "testdata", "labelled.jsonl")
	for range b.rounds {
		c, err := b.child(ctx, "detector", file)
		if err != nil {
			return r, err
		}
		var w work
		err = c.ask(ctx, &w, "run", b.messages)
		c.stop()
		if err != nil {
			return r, err
		}
		r.add("detector", "p50", "µs", float64(w.P50.Nanoseconds())/1e3)
		r.add("detector", "p99", "µs", float64(w.P99.Nanoseconds())/1e3)
		r.add("detector", "highest", "µs", float64(w.Max.Nanoseconds())/1e3)
	}
	r.check("p99", r.values("detector", "p99"), " µs", true, 60)
	r.note("%d messages of the package's labelled set, one core", b.messages)
	return r, nil
}

// measureStart starts the sidecar beside a database that it knows, and lets it rest.
func measureStart(ctx context.Context, b *bench) (*Result, error) {
	pg, done, err := b.cluster(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := b.practice(ctx, pg, "postgres")
	if err != nil {
		return nil, err
	}
	defer p.close()
	s, err := p.sidecar()
	if err != nil {
		return nil, err
	}
	r := &Result{}
	starts := 2*b.rounds + 1 // the first makes slot and streams
	b.progress.begin("start vigil serve", starts)
	for i := range starts {
		took, err := s.begin(ctx)
		if err != nil {
			return r, err
		}
		what := "start to ready"
		if i == 0 {
			what = "first start to ready"
		}
		err = pause(ctx, 5*time.Second)
		rss, _, memory := s.memory()
		cpu, used := s.cpu()
		if err := errors.Join(err, memory, used, s.stop()); err != nil {
			return r, fmt.Errorf("start %d: %w", i, err)
		}
		r.add("vigil serve", what, "ms", float64(took.Microseconds())/1e3)
		r.add("vigil serve", "CPU until then and in 5 s of rest", "ms", float64(cpu.Microseconds())/1e3)
		r.add("vigil serve", "idle RSS", "MB", float64(rss)/(1<<20))
		b.progress.set(i + 1)
	}
	r.check("start to ready", r.values("vigil serve", "start to ready"), " ms", true, 1000)
	r.check("idle RSS", r.values("vigil serve", "idle RSS"), " MB", true, 60)
	return r, nil
}
