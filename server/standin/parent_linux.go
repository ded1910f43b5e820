package standin

import "syscall"

// endWithParent makes the kernel stop a function when we die without stopping it.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
