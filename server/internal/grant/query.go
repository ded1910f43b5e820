package grant

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"vigil/realtime"
)

// The statements of one question. They go to Postgres in one round trip, each parsed when the one before it has run: the
// second must be planned as the person. A session pooler will do; a transaction pooler too.
const (
	beginSQL  = "begin read only"
	personSQL = `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true), set_config('relay.topic', $2, true)`
	grantSQL  = `
		select
		  pg_catalog.array_to_string(array(select p.extension || '.' || p.action from relay.permissions p), ','),
		  private.transactions_are_visible($1)`
	commitSQL = "commit"
)

// errAnswer is an answer of another shape than the one asked for.
var errAnswer = errors.New("answer has another shape")

// ask puts the question. visible is false if the snapshot does not show every one of the transactions yet.
func (g *Grants) ask(ctx context.Context, id realtime.Identity, topic string, unseen []uint32) (grant realtime.Grant, visible bool, err error) {
	conn, err := g.config.Pool.Acquire(ctx)
	if err != nil {
		return realtime.Grant{}, false, fmt.Errorf("ask for a grant: %w", err)
	}
	defer conn.Release() // which closes a connection whose transaction has not ended
	batch := &pgconn.Batch{}
	batch.ExecParams(beginSQL, nil, nil, nil, nil)
	batch.ExecParams(personSQL, [][]byte{id.Claims, []byte(topic)}, nil, nil, nil)
	batch.ExecParams(grantSQL, [][]byte{arrayOf(unseen)}, nil, nil, nil)
	batch.ExecParams(commitSQL, nil, nil, nil, nil)
	results, err := conn.Conn().PgConn().ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		return realtime.Grant{}, false, fmt.Errorf("ask for a grant: %w", err)
	}
	const answerAt, statements, columns = 2, 4, 2
	if len(results) != statements || len(results[answerAt].Rows) != 1 || len(results[answerAt].Rows[0]) != columns {
		return realtime.Grant{}, false, fmt.Errorf("ask for a grant: %w", errAnswer)
	}
	row := results[answerAt].Rows[0]
	return grantOf(string(row[0])), string(row[1]) == "t", nil
}

// grantOf reads extension.action pairs; one that is not known grants nothing.
func grantOf(pairs string) realtime.Grant {
	var g realtime.Grant
	for pair := range strings.SplitSeq(pairs, ",") {
		switch pair {
		case "broadcast.receive":
			g.BroadcastReceive = true
		case "broadcast.send":
			g.BroadcastSend = true
		case "presence.receive":
			g.PresenceReceive = true
		case "presence.send":
			g.PresenceSend = true
		}
	}
	return g
}

// arrayOf writes a Postgres array.
func arrayOf(xids []uint32) []byte {
	text := []byte{'{'}
	for i, xid := range xids {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(xid), 10)
	}
	return append(text, '}')
}
