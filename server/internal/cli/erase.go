package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

const eraseUsage = `usage: vigil erase session <session id>                     destroy one session
       vigil erase person <organization id> <user id>       destroy what an organization has of a person

The keys go first, so that nothing can be opened any more; then all that was sealed or derived, and the sealed files in Storage.
The receipt, a row of erasures, is printed as JSON. It cannot be undone. It does not reach backups and archived WAL, which hold what
they held until they run out, nor what a device still shows. Called again, it goes on where it stopped.

The environment: SUPABASE_URL, SUPABASE_SECRET_KEY. The exit code is 0 when all is gone, 1 when something is left, 2 when the call
itself is wrong.
`

// erase destroys a session, or what an organisation has of a person, and prints the receipt.
func erase(ctx context.Context, p Process, fs *flag.FlagSet) int {
	fs.Usage = func() { say(p.Stderr, "%s", eraseUsage) }
	switch err := fs.Parse(p.Args); {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		return ExitUsage
	}
	ids, known := map[string]int{"session": 1, "person": 2}[fs.Arg(0)]
	if !known || fs.NArg() != 1+ids {
		fs.Usage()
		return ExitUsage
	}
	words := fs.Args()[1:]
	for _, word := range words {
		if _, err := uuid.Parse(word); err != nil {
			say(p.Stderr, "vigil erase: an id is a uuid, as in sessions.id\n")
			return ExitUsage
		}
	}
	e, err := newEraser(p)
	if err != nil {
		say(p.Stderr, "vigil erase: %v\n", err)
		return ExitUsage
	}
	receipt, err := e.erase(ctx, fs.Arg(0), words)
	if receipt.ID != uuid.Nil {
		printReceipt(p.Stdout, receipt)
	}
	if err != nil {
		say(p.Stderr, "vigil erase: %v\n", err)
		return ExitFail
	}
	if receipt.Status != statusDone {
		say(p.Stderr, "vigil erase: the keys are gone, but %d sealed files are left in Storage: call it again\n", receipt.ObjectsLeft)
		return ExitFail
	}
	return ExitOK
}

// statusDone is erasures.status of what is gone whole.
const statusDone = "done"

// receipt is a row of erasures: what is acted on, and all of it as the database gave it.
type receipt struct {
	ID          uuid.UUID `json:"id"`
	Status      string    `json:"status"`
	ObjectsLeft int       `json:"objects_left"`

	row json.RawMessage
}

// UnmarshalJSON keeps the row.
func (r *receipt) UnmarshalJSON(data []byte) error {
	type fields receipt
	if err := json.Unmarshal(data, (*fields)(r)); err != nil {
		return err
	}
	if r.ID == uuid.Nil {
		return errors.New("no receipt")
	}
	r.row = bytes.Clone(data)
	return nil
}

func printReceipt(w io.Writer, r receipt) {
	var text bytes.Buffer
	if json.Indent(&text, r.row, "", "  ") == nil {
		say(w, "%s\n", text.String())
	}
}

// erase destroys, removes the files, and settles. An error after the first step comes with the receipt so far.
func (e *eraser) erase(ctx context.Context, kind string, ids []string) (r receipt, err error) {
	verb, arguments := "erase_session", map[string]any{"session_id": ids[0]}
	if kind == "person" {
		verb, arguments = "erase_person", map[string]any{"organization_id": ids[0], "user_id": ids[1]}
	}
	if err := e.call(ctx, verb, arguments, &r); err != nil {
		return receipt{}, explain(err, kind)
	}
	left, failed := e.removeObjects(ctx, r.ID)
	settled := r
	if err := e.call(ctx, "settle_erasure", map[string]any{"erasure_id": r.ID, "objects_left": left}, &settled); err != nil {
		return r, errors.Join(failed, err)
	}
	return settled, failed
}

// removeObjects removes the erasure's files from Storage, and says how many are left: those that it could not remove.
func (e *eraser) removeObjects(ctx context.Context, erasure uuid.UUID) (left int, err error) {
	for before := -1; ; before = left {
		var names []string
		if err := e.call(ctx, "objects_of_erasure", map[string]any{"erasure_id": erasure}, &names); err != nil {
			return 1, err // as many as one, for it is not known that there are none
		}
		if left = len(names); left == 0 || left == before {
			return left, err
		}
		for len(names) > 0 {
			n := min(len(names), removedAtOnce)
			if err = e.remove(ctx, names[:n]); err != nil {
				return left, err
			}
			names = names[n:]
		}
	}
}

// explain says what to do about a refusal of the first step.
func explain(err error, kind string) error {
	var refused *refusedCall
	if !errors.As(err, &refused) {
		return err
	}
	switch {
	case refused.code == "PT404" && kind == "session":
		return errors.New("there is no such session (any more). What was erased has its receipt in erasures")
	case refused.code == "PT404":
		return errors.New("there is no such person in that organization. What was erased has its receipt in erasures")
	case refused.status == 401 || refused.status == 403 || refused.code == "42501":
		return fmt.Errorf("%w: SUPABASE_SECRET_KEY must be this project's secret key", err)
	case refused.code == "VG028":
		return fmt.Errorf("%w: messages keep coming: end the session first", err)
	case refused.code == "PGRST202":
		return fmt.Errorf("%w: the project's schema is older than this: run the migrations of sql/", err)
	}
	return err
}

// trimmed is a variable without the space that copying leaves.
func trimmed(p Process, name string) string { return strings.TrimSpace(p.Getenv(name)) }
