package cli

import (
	"context"
	"io"
)

// DoctorOnce looks once and writes what it found as doctor does for a program and for a person. The exit codes are doctor's.
func DoctorOnce(ctx context.Context, p Process, program, person io.Writer) (codes [2]int) {
	r := examine(ctx, p)
	for i, to := range []io.Writer{program, person} {
		p.Stdout = to
		codes[i] = r.write(p, to == program)
	}
	return codes
}
