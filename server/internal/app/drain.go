package app

import (
	"context"
	"errors"
	"fmt"

	"vigil/server/internal/triage"
)

// drainFaults is how many faults of one look are told; of the others, how many they were.
const drainFaults = 5

// drain does all that is due, `most` at a time. What fails, or is still due after it was done, is passed over for this look, so that it
// never stands before what can be done: due is asked for that many more. do gives the faults of a page, if any. It ends when a page
// has nothing that was not tried, when the database cannot be asked, or is away.
func drain[T any, K comparable](
	ctx context.Context, most int, due func(context.Context, int) ([]T, error), key func(*T) K, do func(context.Context, []T) []error,
) error {
	tried, stays := make(map[K]bool), make(map[K]bool)
	var faults []error
	count := 0
	for {
		asked := most + len(stays)
		page, err := due(ctx, asked)
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		full, known := len(page) >= asked, len(stays)
		fresh := page[:0]
		for i := range page {
			k := key(&page[i])
			if tried[k] {
				stays[k] = true
				continue
			}
			tried[k] = true
			fresh = append(fresh, page[i])
		}
		for _, err := range do(ctx, fresh) {
			if triage.IsUnavailable(err) {
				return errors.Join(append(faults, err)...)
			}
			if count++; len(faults) < drainFaults {
				faults = append(faults, err)
			}
		}
		if !full || len(fresh) == 0 && len(stays) == known || ctx.Err() != nil {
			break
		}
	}
	if count > len(faults) {
		faults = append(faults, fmt.Errorf("and %d more", count-len(faults)))
	}
	return errors.Join(faults...)
}
