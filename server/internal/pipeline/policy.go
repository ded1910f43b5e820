package pipeline

import (
	"context"

	"github.com/google/uuid"

	"vigil/server/internal/replication"
	"vigil/server/internal/triage"
)

// maxPolicies is how many organisations' policies are remembered; at more, all are forgotten and read again when needed.
const maxPolicies = 10_000

// knownPolicy is a policy that is remembered.
type knownPolicy struct {
	policy triage.CrisisPolicy
	terms  int32 // the TermsVersion that policy.Terms are of: older than the policy's until they are read
}

func (k *knownPolicy) whole() bool { return k.terms == k.policy.TermsVersion }

// applyPolicies takes policies from the log: the row itself is what is in force, but for its terms: they
// are not on the log, and are read when the next message needs them. An older version never replaces a newer.
func (p *Pipeline) applyPolicies(changes []policyChange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range changes {
		if c.op == replication.Delete {
			delete(p.policies, c.policy.OrganizationID)
		} else {
			p.keepPolicy(knownPolicy{policy: c.policy})
		}
	}
}

// keepPolicy remembers a policy unless a newer one is known; of two, the newer terms. The caller holds mu.
func (p *Pipeline) keepPolicy(kept knownPolicy) {
	organization := kept.policy.OrganizationID
	known, ok := p.policies[organization]
	if ok && known.terms > kept.terms {
		kept.policy.Terms, kept.terms = known.policy.Terms, known.terms
	}
	if ok && known.policy.Version > kept.policy.Version {
		known.policy.Terms, known.terms = kept.policy.Terms, kept.terms
		kept = known
	}
	if !ok && len(p.policies) >= maxPolicies {
		clear(p.policies)
	}
	p.policies[organization] = kept
}

// policy returns what is in force for an organisation; loadPolicies was called for it.
func (p *Pipeline) policy(organization uuid.UUID) triage.CrisisPolicy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.policies[organization]; ok {
		return known.policy
	}
	return triage.DefaultCrisisPolicy(organization)
}

// loadPolicies reads the policies that the turns' organisations have and are not known, or not with their terms.
func (p *Pipeline) loadPolicies(ctx context.Context, turns []*turn) error {
	var missing []uuid.UUID
	asked := make(map[uuid.UUID]bool)
	p.mu.Lock()
	for _, t := range turns {
		organization := t.before.OrganizationID
		if known, ok := p.policies[organization]; (!ok || !known.whole()) && !asked[organization] {
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
		read := make([]knownPolicy, len(found))
		for i, policy := range found {
			if len(policy.TopicTerms) > 0 {
				policy.Terms, policy.TopicTerms = p.config.CompileTerms(policy.TopicTerms), nil
			}
			read[i] = knownPolicy{policy: policy, terms: policy.TermsVersion}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, policy := range read {
			p.keepPolicy(policy)
		}
		for _, organization := range missing { // one without a row need not be asked for again: the log would show it
			if _, ok := p.policies[organization]; !ok {
				p.keepPolicy(knownPolicy{policy: triage.DefaultCrisisPolicy(organization)})
			}
		}
		return nil
	})
}
