package config

import "strings"

// Example returns the text of .env.example: each variable with its meaning; required ones stand open, the others are
// commented out with their defaults.
func Example() string {
	var b strings.Builder
	b.WriteString("# Vigil's configuration. Copy to .env and fill in what has no #. `go tool task dev` needs none of it.\n")
	for _, v := range Variables {
		b.WriteString("\n# " + v.Help + "\n")
		if !v.Required {
			b.WriteString("# ")
		}
		b.WriteString(v.Name + "=" + v.Default + "\n")
	}
	return b.String()
}
