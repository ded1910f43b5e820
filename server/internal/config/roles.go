package config

import (
	"slices"
	"strings"
)

// Role is a share of the sidecar's work that a process may have.
type Role string

// The roles.
const (
	RoleIngest  Role = "ingest"  // slot → LOG → TOPICS; one process at a time
	RoleDetect  Role = "detect"  // LOG → opened, assessed, recorded; one process at a time
	RoleSuggest Role = "suggest" // drafts for clinicians; one process at a time
	RoleRelay   Role = "relay"   // TOPICS → sockets
	RolePage    Role = "page"    // alerts → whoever is on call
)

// AllRoles are what one process does that is alone.
var AllRoles = []Role{RoleIngest, RoleDetect, RoleSuggest, RoleRelay, RolePage}

// Has says whether the process has a role.
func (c *Config) Has(r Role) bool { return slices.Contains(c.Roles, r) }

func (p *parser) roles(name string) []Role {
	text := p.text(name)
	if text == "all" {
		return AllRoles
	}
	var roles []Role
	for word := range strings.SplitSeq(text, ",") {
		r := Role(strings.TrimSpace(word))
		if !slices.Contains(AllRoles, r) {
			p.fault(name, "must be all, or some of ingest, detect, suggest, relay and page, separated by commas")
			return AllRoles
		}
		if !slices.Contains(roles, r) {
			roles = append(roles, r)
		}
	}
	return roles
}

func (p *parser) replicas(name string) int64 {
	n := p.positive(name, "must be 1, 3 or 5")
	if n != 0 && n != 1 && n != 3 && n != 5 {
		p.fault(name, "must be 1, 3 or 5")
	}
	return n
}
