package main

import "syscall"

// endWithParent makes the kernel stop the sidecar when we die without stopping it.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGTERM }
