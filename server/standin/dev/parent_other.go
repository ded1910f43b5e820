//go:build !linux

package main

import "syscall"

// endWithParent does nothing: only Linux' kernel can tell a child that its parent died.
func endWithParent(*syscall.SysProcAttr) {}
