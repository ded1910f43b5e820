package pipeline

import (
	"context"

	"github.com/google/uuid"

	"vigil/server/internal/replication"
	"vigil/server/internal/triage"
)

// maxPolicies is how many organisations' policies are remembered; at more, all are forgotten and read again when needed.
const maxPolicies = 10_000

// applyPolicies takes policies from the log: the row itself is what is in force. An older version never replaces a newer.
func (p *Pipeline) applyPolicies(changes []policyChange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range changes {
		if c.op == replication.Delete {
			delete(p.policies, c.policy.OrganizationID)
		} else {
			p.keepPolicy(c.policy)
		}
	}
}

// keepPolicy remembers policy unless a newer one is known. The caller holds mu.
func (p *Pipeline) keepPolicy(policy triage.CrisisPolicy) {
	if known, ok := p.policies[policy.OrganizationID]; ok && known.Version > policy.Version {
		return
	}
	if len(p.policies) >= maxPolicies {
		clear(p.policies)
	}
	p.policies[policy.OrganizationID] = policy
}

// policy returns what is in force for an organisation; loadPolicies was called for it.
func (p *Pipeline) policy(organization uuid.UUID) triage.CrisisPolicy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if policy, ok := p.policies[organization]; ok {
		return policy
	}
	return triage.DefaultCrisisPolicy(organization)
}

// loadPolicies reads the policies that the turns' organisations have and are not known.
func (p *Pipeline) loadPolicies(ctx context.Context, turns []*turn) error {
	var missing []uuid.UUID
	asked := make(map[uuid.UUID]bool)
	p.mu.Lock()
	for _, t := range turns {
		organization := t.before.OrganizationID
		if _, ok := p.policies[organization]; !ok && !asked[organization] {
			asked[organization] = true
			missing = append(missing, organization)
		}
	}
	p.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	return p.persist(ctx, "policies were not read", func() error {
		found, err := p.config.Lookup.Policies(ctx, missing)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, policy := range found {
			p.keepPolicy(policy)
		}
		for _, organization := range missing { // one without a row need not be asked for again: the log would show it
			if _, ok := p.policies[organization]; !ok {
				p.keepPolicy(triage.DefaultCrisisPolicy(organization))
			}
		}
		return nil
	})
}
