package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

// Policies returns the crisis policies of those of the organisations that have one, with their topic terms, all from one
// snapshot: TermsVersion says how old the terms are.
func (s *Store) Policies(ctx context.Context, organizations []uuid.UUID) ([]triage.CrisisPolicy, error) {
	const query = `
		select c.organization_id, c.page_at_level, c.review_at_level, c.version, c.page_categories, c.review_categories,
		  c.page_least_self_harm, c.page_least_harm_others, c.page_least_abuse, c.page_least_distress,
		  c.review_least_self_harm, c.review_least_harm_others, c.review_least_abuse, c.review_least_distress,
		  c.quiet_rules, c.review_rules, c.terms_version,
		  array(select t.topic from public.topic_terms t where t.organization_id = c.organization_id order by t.topic, t.term, t.language),
		  array(select t.term from public.topic_terms t where t.organization_id = c.organization_id order by t.topic, t.term, t.language),
		  array(select t.language from public.topic_terms t where t.organization_id = c.organization_id order by t.topic, t.term, t.language)
		from public.crisis_policies c
		where c.organization_id = any ($1)`
	found, err := collect(ctx, s, scanPolicy, query, organizations)
	if err != nil {
		return nil, fmt.Errorf("read crisis policies of %d organisations: %w", len(organizations), err)
	}
	return found, nil
}

func scanPolicy(row pgx.CollectableRow) (p triage.CrisisPolicy, err error) {
	var page, review, topics, terms, languages []string
	least, reviewed := &p.Page.Least, &p.Review.Least
	err = row.Scan(&p.OrganizationID, &p.PageAtLevel, &p.ReviewAtLevel, &p.Version, &page, &review,
		&least.Risk, &least.HarmOthers, &least.Abuse, &least.Distress, &reviewed.Risk, &reviewed.HarmOthers, &reviewed.Abuse, &reviewed.Distress,
		&p.QuietRules, &p.ReviewRules, &p.TermsVersion, &topics, &terms, &languages)
	if err != nil {
		return p, err
	}
	p.Page.Categories, p.Review.Categories = triage.CategoriesOf(page), triage.CategoriesOf(review)
	for i := range topics {
		p.TopicTerms = append(p.TopicTerms, triage.TopicTerm{Topic: topics[i], Term: terms[i], Language: languages[i]})
	}
	return p, nil
}
