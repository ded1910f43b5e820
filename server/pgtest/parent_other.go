//go:build !linux

package pgtest

import "os/exec"

// endWithParent does nothing: only Linux' kernel can tell a child that its parent died.
func endWithParent(*exec.Cmd, bool) {}
