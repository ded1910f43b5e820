package pgtest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel stop Postgres when we die without stopping it: at once, or, where the data are kept,
// after a checkpoint.
func endWithParent(cmd *exec.Cmd, keep bool) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	if keep {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	}
}
