package replication

import "syscall"

// setLowWater says how many bytes must have come before a waiting reader is woken. A read that does not wait takes what
// there is. Source: socket(7), SO_RCVLOWAT.
func setLowWater(raw syscall.RawConn, n int) bool {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	})
	return err == nil && failed == nil
}
