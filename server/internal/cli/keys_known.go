package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/app"
	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/triage"
)

// keysTimeout bounds what a command asks the database.
const keysTimeout = 15 * time.Second

// withTables runs do on the project's tables; what fails is said.
func withTables(ctx context.Context, p Process, do func(context.Context, config.Config, *store.Store) error) int {
	c, err := config.Parse(p.Getenv)
	if err != nil {
		say(p.Stderr, "vigil keys: the configuration has faults:\n%v\n", err)
		return ExitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	tables, closeTables, err := app.OpenTables(ctx, c)
	if err == nil {
		defer closeTables()
		err = do(ctx, c, tables)
	}
	if err != nil {
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	return ExitOK
}

// listKeys prints a line for each key that the project knows or the file holds.
func listKeys(ctx context.Context, p Process) int {
	held, err := heldKeys(ctx, p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	return withTables(ctx, p, func(ctx context.Context, c config.Config, tables *store.Store) error {
		known, err := tables.AnalysisKeys(ctx, c.KeyKeep)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
		say(w, "ID\tMADE\tSTATE\tHERE\tFINGERPRINT\n")
		newest := true
		for _, k := range known {
			m, err := keyMember(k)
			if err != nil {
				return err
			}
			here := "no"
			if holds(held, k.ID) {
				here = "yes"
			}
			say(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.CreatedAt.UTC().Format(time.DateOnly), keyState(k, newest), here, envelope.Fingerprint(m))
			newest = newest && !k.Live()
		}
		for _, d := range held {
			if !knows(known, d.KID()) {
				say(w, "%s\t-\tnot registered: start vigil serve\tyes\t%s\n", d.KID(), envelope.Fingerprint(d.Member(envelope.RoleAnalysis)))
			}
		}
		return w.Flush()
	})
}

// keyState says what a key is for; newest is whether no live one came before it in the list.
func keyState(k triage.AnalysisKey, newest bool) string {
	switch {
	case !k.RevokedAt.IsZero() && !k.RetiredAt.IsZero():
		return "destroyed " + k.RevokedAt.UTC().Format(time.DateOnly)
	case !k.RevokedAt.IsZero():
		return "revoked " + k.RevokedAt.UTC().Format(time.DateOnly)
	case !k.RetiredAt.IsZero() && k.Needed:
		return "retired, still needed"
	case !k.RetiredAt.IsZero():
		return "retired, needed by nothing"
	case newest:
		return "on new rosters"
	}
	return "opens older epochs"
}

func knows(known []triage.AnalysisKey, id uuid.UUID) bool {
	for _, k := range known {
		if k.ID == id {
			return true
		}
	}
	return false
}

// keyMember is a key of the project as a roster would list it.
func keyMember(k triage.AnalysisKey) (envelope.Member, error) {
	enc, encErr := envelope.DecodeText(k.EncPub)
	sig, sigErr := envelope.DecodeText(k.SigPub)
	if err := errors.Join(encErr, sigErr); err != nil {
		return envelope.Member{}, fmt.Errorf("read key %s of the project: %w", k.ID, err)
	}
	return envelope.Member{KID: k.ID, Role: envelope.RoleAnalysis, EncPub: enc, SigPub: sig}, nil
}

// retireKey keeps a key out of new epochs. Another must be there, and be held here: else nobody could open what comes next.
func retireKey(ctx context.Context, p Process, word string) int {
	id, err := uuid.Parse(word)
	if err != nil {
		say(p.Stderr, "vigil keys: a key is named by its id; vigil keys list shows them\n")
		return ExitUsage
	}
	held, err := heldKeys(ctx, p)
	if err != nil {
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	return withTables(ctx, p, func(ctx context.Context, c config.Config, tables *store.Store) error {
		known, err := tables.AnalysisKeys(ctx, c.KeyKeep)
		if err != nil {
			return err
		}
		if !knows(known, id) {
			return fmt.Errorf("the project knows no analysis key %s: vigil keys list shows those that it does", id)
		}
		if err := nextKeyIsHere(known, held, id); err != nil {
			return err
		}
		if err := tables.RetireAnalysisKey(ctx, id); err != nil {
			return err
		}
		busy, err := tables.RetireEpochs(ctx)
		if err != nil {
			return fmt.Errorf("the key is retired; vigil serve goes on from here: %w", err)
		}
		say(p.Stdout, "%s\n", id)
		if busy > 0 {
			say(p.Stderr, "%d sessions were in use this moment: vigil serve looks after them.\n", busy)
		}
		say(p.Stderr, "Retired. Sessions that use it make a new epoch before their next message. vigil serve destroys it once every session that used it has been over for %s: then destroy its backups, too.\n", c.KeyKeep)
		return nil
	})
}

// nextKeyIsHere refuses to retire a key in favour of one that is not in this file.
func nextKeyIsHere(known []triage.AnalysisKey, held []*envelope.Device, retiring uuid.UUID) error {
	for _, k := range known { // the newest first
		if k.ID == retiring || !k.Live() {
			continue
		}
		if holds(held, k.ID) {
			return nil
		}
		return fmt.Errorf("new epochs would have the key %s, which is not in the key file here: retire it first, or restore it", k.ID)
	}
	return errors.New("it is the only key that new epochs can have: make another with vigil keys new --rotate, and let vigil serve take it up first")
}

// fingerprintKeys prints the digits of the keys here, or of one, here or known to the project.
func fingerprintKeys(ctx context.Context, p Process, words []string) int {
	held, err := heldKeys(ctx, p)
	if err != nil && (len(words) == 0 || !errors.Is(err, fs.ErrNotExist)) {
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	if len(words) == 0 {
		for _, d := range held {
			say(p.Stdout, "%s  %s\n", d.KID(), envelope.Fingerprint(d.Member(envelope.RoleAnalysis)))
		}
		return ExitOK
	}
	id, err := uuid.Parse(words[0])
	if err != nil {
		say(p.Stderr, "vigil keys: a key is named by its id; vigil keys list shows them\n")
		return ExitUsage
	}
	for _, d := range held {
		if d.KID() == id {
			say(p.Stdout, "%s\n", envelope.Fingerprint(d.Member(envelope.RoleAnalysis)))
			return ExitOK
		}
	}
	return withTables(ctx, p, func(ctx context.Context, c config.Config, tables *store.Store) error {
		known, err := tables.AnalysisKeys(ctx, c.KeyKeep)
		if err != nil {
			return err
		}
		for _, k := range known {
			if k.ID == id {
				m, err := keyMember(k)
				if err == nil {
					say(p.Stdout, "%s\n", envelope.Fingerprint(m))
				}
				return err
			}
		}
		return fmt.Errorf("there is no key %s, here or in the project", id)
	})
}
