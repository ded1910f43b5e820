package main

import (
	"runtime"
	"syscall"
)

// keep starts the program and waits for it. The kernel's signal is tied to the starting thread, which therefore lives as long.
func keep(p *process, started chan<- error) {
	runtime.LockOSThread()
	defer close(p.done)
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended is asked of cmd
	}
}
