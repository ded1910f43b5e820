//go:build !linux

package standin

import "syscall"

// endWithParent does nothing: only Linux' kernel can tell a child that its parent died.
func endWithParent(*syscall.SysProcAttr) {}
