package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"vigil/server/internal/bus"
	"vigil/server/internal/replication"
)

// drainConfig tells a child which slot to empty.
type drainConfig struct {
	URL  string        `json:"url"`
	Slot string        `json:"slot"`
	Dir  string        `json:"dir"` // of the bus
	End  pglogrepl.LSN `json:"end"` // everything that ends at or before it is to be read
}

// drained is what emptying a slot took, from the first byte sent to the last row read (and, for the sidecar's part, stored).
type drained struct {
	Rows    int           `json:"rows"`
	Elapsed time.Duration `json:"elapsed"`
	CPU     time.Duration `json:"cpu"`
}

// endMark ends what is drained: a logical message, which the sidecar's reader stores like a row.
const endMark = "vigil.bench.end"

var itemsPublication = replication.Publication{Name: "items_pub", Tables: []replication.Table{{Name: "items", Columns: []string{"id", "body", "note"}}}}

// drainVigil is the sidecar's intake as app joins it: reader → LOG, with SyncAlways. It is done when the last entry is on
// the disk. The bus is open before the clock starts, as in a sidecar that runs.
func drainVigil(ctx context.Context, raw json.RawMessage) (handler, error) {
	var c drainConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return handler{}, err
	}
	store, err := bus.Open(ctx, bus.Config{Dir: c.Dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return handler{}, err
	}
	do := func(ctx context.Context, _ command) (any, error) {
		before, err := cpuOf(os.Getpid())
		if err != nil {
			return nil, err
		}
		began := time.Now()
		rows, end, err := drainInto(ctx, c, store.Log())
		if err != nil {
			return nil, err
		}
		elapsed := time.Since(began)
		after, err := cpuOf(os.Getpid())
		end()
		return drained{Rows: rows, Elapsed: elapsed, CPU: after - before}, err
	}
	return handler{do: do, ended: func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		_ = store.Close(end) // its folder is removed next
	}}, nil
}

// endTail is where, in an entry, the mark stands: its last change.
const endTail = 256

// drainInto returns when the last entry is stored; end then ends the reader.
func drainInto(ctx context.Context, c drainConfig, log *bus.Log) (rows int, end func(), err error) {
	reading, cancel := context.WithCancel(ctx)
	stored, ended := make(chan error, 1), make(chan error, 1)
	reader, err := replication.New(replication.Config{
		URL: c.URL, Slot: c.Slot, Publications: []replication.Publication{itemsPublication}, SlotExpected: true, Last: log.Last,
		Append: func(ctx context.Context, data []byte) (replication.Stored, error) {
			p, err := log.Append(ctx, data)
			if err == nil && bytes.Contains(data[max(0, len(data)-endTail):], []byte(endMark)) {
				stored <- p.Wait(ctx)
			}
			return p, err
		},
	})
	if err != nil {
		cancel()
		return 0, nil, err
	}
	go func() { ended <- reader.Run(reading) }() // waited for by end
	end = func() {
		cancel()
		<-ended
	}
	select {
	case err = <-stored:
	case err = <-ended:
		cancel()
		return 0, nil, errors.Join(errors.New("the reader ended before the end"), err)
	}
	return int(reader.State().Rows), end, err
}

// drainLoop is the least that a Go program can do: receive, parse each row into a struct, keep nothing, confirm each second.
func drainLoop(_ context.Context, raw json.RawMessage) (handler, error) {
	var c drainConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return handler{}, err
	}
	return handler{do: func(ctx context.Context, _ command) (any, error) {
		before, err := cpuOf(os.Getpid())
		if err != nil {
			return nil, err
		}
		began := time.Now()
		rows, err := loop(ctx, c)
		if err != nil {
			return nil, err
		}
		elapsed := time.Since(began)
		after, err := cpuOf(os.Getpid())
		return drained{Rows: rows, Elapsed: elapsed, CPU: after - before}, err
	}}, nil
}

// follow begins to stream a slot with the publications.
func follow(ctx context.Context, url, slot, publications string) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	err = pglogrepl.StartReplication(ctx, conn, slot, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + publications + "'", "messages 'true'"},
	})
	return conn, err
}

const statusInterval = time.Second

func loop(ctx context.Context, c drainConfig) (rows int, err error) {
	conn, err := follow(ctx, c.URL, c.Slot, "items_pub")
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var row [3]string
	confirmed := time.Now()
	for {
		m, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return rows, err
		}
		data, ok := m.(*pgproto3.CopyData)
		if !ok || len(data.Data) < 26 || data.Data[0] != 'w' {
			continue
		}
		switch body := data.Data[25:]; body[0] {
		case 'I':
			scan(body, row[:])
			rows++
		case 'C':
			end := pglogrepl.LSN(binary.BigEndian.Uint64(body[10:]))
			if end >= c.End {
				return rows, nil
			}
			if now := time.Now(); now.Sub(confirmed) > statusInterval {
				confirmed = now
				if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: end}); err != nil {
					return rows, err
				}
			}
		}
	}
}

// scan reads an Insert's text columns: 'I', oid, 'N', count, and for each column a kind and a length.
func scan(body []byte, into []string) {
	const header = 8
	at := body[header:]
	for i := range into {
		if len(at) == 0 {
			return
		}
		if at[0] != 't' {
			into[i], at = "", at[1:]
			continue
		}
		n := int(binary.BigEndian.Uint32(at[1:]))
		into[i], at = string(at[5:5+n]), at[5+n:]
	}
}

var errRows = errors.New("not every row was read")

func (d drained) verify(want int) error {
	if d.Rows < want {
		return fmt.Errorf("%w: %d of %d", errRows, d.Rows, want)
	}
	return nil
}
