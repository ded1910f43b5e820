//go:build !linux

package main

// inMemory: there is no folder in memory here that one could count on.
func inMemory() (dir string, remove func(), err error) { return "", func() {}, nil }
