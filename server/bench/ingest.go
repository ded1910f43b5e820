package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"vigil/server/pgtest"
)

// clusterSettings are those of every cluster here: durable, and with no pause that a benchmark of minutes would notice.
var clusterSettings = map[string]string{
	"fsync": "on", "synchronous_commit": "on", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "wal_sender_timeout": "0", "shared_buffers": "512MB",
}

// cluster starts a throwaway Postgres. done ends it.
func (b *bench) cluster(ctx context.Context) (c *pgtest.Cluster, done func(), err error) {
	b.progress.begin("start Postgres", 0)
	c, err = pgtest.Open(ctx, pgtest.Options{Bare: true, Fsync: true, Settings: clusterSettings})
	if err != nil {
		return nil, nil, err
	}
	return c, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if err := c.Close(end); err != nil {
			b.progress.say("stop Postgres: %v", err)
		}
	}, nil
}

// ingestion is the row's database.
type ingestion struct {
	b     *bench
	pg    *pgtest.Cluster
	conn  *pgx.Conn
	url   string
	slots int
}

const (
	ingestTool  = "pg_recvlogical to nothing"
	ingestLoop  = "Go loop on pgconn, to a struct"
	ingestVigil = "vigil: reader → LOG, synced"
)

// measureIngest empties the same slot with each of three clients, in turn, as often as there are rounds.
func measureIngest(ctx context.Context, b *bench) (*Result, error) {
	pg, done, err := b.cluster(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	g := &ingestion{b: b, pg: pg, url: pg.URL(pgtest.RoleSuperuser, "postgres")}
	if g.conn, err = pgx.Connect(ctx, g.url); err != nil {
		return nil, err
	}
	defer func() { _ = g.conn.Close(context.WithoutCancel(ctx)) }()
	_, err = g.conn.Exec(ctx, `
		create table public.items (id bigint primary key, body text, note text);
		create publication items_pub for table public.items (id, body, note);
		set synchronous_commit = off`)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	for _, per := range []int{1000, 1} {
		if err := g.size(ctx, r, per); err != nil {
			return r, err
		}
	}
	r.note("%d rows of 300 B in each draining; a copy of one slot for each; CPU is the client's own, of all its threads", b.messages)
	return r, nil
}

// size fills a slot with transactions of per rows and has it emptied.
func (g *ingestion) size(ctx context.Context, r *Result, per int) error {
	per = min(per, g.b.messages)
	full := "full_" + strconv.Itoa(per)
	g.b.progress.begin(fmt.Sprintf("write %d rows, %d a transaction", g.b.messages, per), 0)
	if _, err := g.conn.Exec(ctx, `select pg_create_logical_replication_slot($1, 'pgoutput')`, full); err != nil {
		return err
	}
	defer func() { _ = g.drop(context.WithoutCancel(ctx), full) }()
	_, err := g.conn.Exec(ctx, fmt.Sprintf(`do $$ begin for i in 1..%d loop
		insert into items select %d0000000000 + i::bigint * 10000 + j, repeat('x', 300) from generate_series(1, %d) j; commit; end loop; end $$`, g.b.messages/per, per, per))
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	// The mark's commit ends behind it, and every other transaction before it. Where the WAL ends by now says less: Postgres
	// writes records of its own at any time.
	var text string
	if err := g.conn.QueryRow(ctx, `select pg_logical_emit_message(true, $1, '')::text`, endMark).Scan(&text); err != nil {
		return err
	}
	end, err := pglogrepl.ParseLSN(text)
	if err != nil {
		return err
	}
	rows := g.b.messages / per * per
	what := fmt.Sprintf("%d-row transactions", per)
	clients := []struct {
		who   string
		drain func(context.Context, string, pglogrepl.LSN) (drained, error)
	}{{ingestTool, g.tool}, {ingestLoop, g.child("drain-loop")}, {ingestVigil, g.child("drain-vigil")}}
	g.b.progress.begin("drain "+what, g.b.rounds*len(clients))
	for round := range g.b.rounds {
		for i := range clients {
			client := clients[(i+round)%len(clients)]
			d, err := g.once(ctx, full, end, client.drain)
			if err == nil && client.who != ingestTool {
				err = d.verify(rows)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", client.who, err)
			}
			r.add(client.who, what+": rate", "rows/s", float64(rows)/d.Elapsed.Seconds())
			r.add(client.who, what+": CPU", "µs/row", float64(d.CPU.Microseconds())/float64(rows))
			g.b.progress.set(round*len(clients) + i + 1)
		}
	}
	r.check(what+": rate, of pg_recvlogical's", ratios(r.values(ingestVigil, what+": rate"), r.values(ingestTool, what+": rate")), "×", false, 1)
	if per > 1 {
		r.check(what+": CPU", r.values(ingestVigil, what+": CPU"), " µs/row", true, 12)
	}
	return nil
}

// once empties a copy of the slot.
func (g *ingestion) once(ctx context.Context, full string, end pglogrepl.LSN, drain func(context.Context, string, pglogrepl.LSN) (drained, error)) (drained, error) {
	g.slots++
	slot := "copy_" + strconv.Itoa(g.slots)
	if _, err := g.conn.Exec(ctx, `select pg_copy_logical_replication_slot($1, $2)`, full, slot); err != nil {
		return drained{}, err
	}
	d, err := drain(ctx, slot, end)
	return d, errors.Join(err, g.drop(ctx, slot))
}

// drop waits for the slot's walsender to end.
func (g *ingestion) drop(ctx context.Context, slot string) error {
	return until(ctx, stopWithin, 20*time.Millisecond, func() (bool, error) {
		_, err := g.conn.Exec(ctx, `select pg_drop_replication_slot($1)`, slot)
		return err == nil, ctx.Err()
	})
}

func (g *ingestion) tool(ctx context.Context, slot string, end pglogrepl.LSN) (drained, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(g.pg.Bin(), "pg_recvlogical"), "-d", g.url, "--slot", slot, "--start", "--no-loop",
		"-f", os.DevNull, "-o", "proto_version=1", "-o", "publication_names=items_pub", "-o", "messages=true", "--endpos", end.String())
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return drained{}, fmt.Errorf("%w: %s", err, out)
	}
	return drained{Elapsed: time.Since(began), CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

func (g *ingestion) child(name string) func(context.Context, string, pglogrepl.LSN) (drained, error) {
	return func(ctx context.Context, slot string, end pglogrepl.LSN) (d drained, err error) {
		dir, err := os.MkdirTemp(g.b.dir, "bus-")
		if err != nil {
			return d, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		c, err := g.b.child(ctx, name, drainConfig{URL: g.url, Slot: slot, Dir: dir, End: end})
		if err != nil {
			return d, err
		}
		defer c.stop()
		return d, c.ask(ctx, &d, "go")
	}
}
