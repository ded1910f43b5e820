//go:build !faults

package app

// faultsAt is nothing in a build that is deployed.
func faultsAt(string) func(point string) { return nil }
