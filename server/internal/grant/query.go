package grant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vigil/realtime"
)

// askSQL is one transaction of its own. The first column is evaluated first, on the statement's snapshot; the questions after
// it see at least as much. It is sent unnamed: a transaction pooler will do.
const askSQL = `select private.transactions_are_visible($1), array(select private.permissions_of($2, $3))`

// errAnswer is an answer of another shape than the one asked for.
var errAnswer = errors.New("answer has another shape")

// asked is what came of one question. visible is false if the snapshot does not show every one of the transactions yet.
type asked struct {
	grant   realtime.Grant
	visible bool
	err     error
}

// ask puts questions to Postgres in one statement. If Postgres refuses that, each is asked alone: which of them is to blame
// (claims that a policy cannot read, a policy that raises) is not known.
func (g *Grants) ask(ctx context.Context, flights []*flight, unseen []int64) []asked {
	answers, err := g.askTogether(ctx, flights, unseen)
	if err == nil {
		return answers
	}
	answers = make([]asked, len(flights))
	var refused *pgconn.PgError
	for i := range flights {
		if answers[i].err = err; len(flights) > 1 && errors.As(err, &refused) && time.Now().Before(flights[i].until) {
			answers[i] = g.ask(ctx, flights[i:i+1], unseen)[0]
		}
	}
	return answers
}

func (g *Grants) askTogether(ctx context.Context, flights []*flight, unseen []int64) ([]asked, error) {
	ctx, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	claims, topics := make([]string, len(flights)), make([]string, len(flights))
	for i, f := range flights {
		claims[i], topics[i] = string(f.identity.Claims), f.key.topic
	}
	var visible bool
	var permitted []string
	if err := g.config.Pool.QueryRow(ctx, askSQL, pgx.QueryExecModeExec, unseen, claims, topics).Scan(&visible, &permitted); err != nil {
		return nil, fmt.Errorf("ask for a grant: %w", err)
	}
	if len(permitted) != len(flights) {
		return nil, fmt.Errorf("ask for a grant: %w", errAnswer)
	}
	answers := make([]asked, len(flights))
	for i, pairs := range permitted {
		answers[i] = asked{grant: grantOf(pairs), visible: visible}
	}
	return answers, nil
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
