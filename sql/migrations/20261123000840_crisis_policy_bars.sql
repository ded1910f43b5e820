-- What an organisation sets about its pages and reviews beyond the levels: categories, least probabilities, rules. As open as the table
-- was (20260101002000_organizations_policies.sql): staff read, admins set.

alter table public.crisis_policies
  add column if not exists page_categories text[] not null default '{self_harm,harm_others}',
  add column if not exists review_categories text[] not null default '{self_harm,harm_others,abuse,distress}',
  add column if not exists page_least_self_harm real not null default 0,
  add column if not exists page_least_harm_others real not null default 0,
  add column if not exists page_least_abuse real not null default 0,
  add column if not exists page_least_distress real not null default 0,
  add column if not exists review_least_self_harm real not null default 0,
  add column if not exists review_least_harm_others real not null default 0,
  add column if not exists review_least_abuse real not null default 0,
  add column if not exists review_least_distress real not null default 0,
  add column if not exists quiet_rules text[] not null default '{}',
  add column if not exists review_rules text[] not null default '{}',
  add column if not exists terms_version int not null default 0;

-- Kept in the row: the log would not repeat a value that is stored elsewhere.
alter table public.crisis_policies alter column page_categories set storage main;
alter table public.crisis_policies alter column review_categories set storage main;
alter table public.crisis_policies alter column quiet_rules set storage main;
alter table public.crisis_policies alter column review_rules set storage main;

alter table public.crisis_policies
  drop constraint if exists "categories are self_harm, harm_others, abuse, distress",
  drop constraint if exists "what pages is reviewed",
  drop constraint if exists "self_harm is always reviewed",
  drop constraint if exists "a least probability is from 0 to 1",
  drop constraint if exists "quiet_rules are at most 50 rule ids",
  drop constraint if exists "review_rules are at most 50 rule ids";
alter table public.crisis_policies
  add constraint "categories are self_harm, harm_others, abuse, distress"
    check (
      page_categories <@ array['self_harm', 'harm_others', 'abuse', 'distress']
      and review_categories <@ array['self_harm', 'harm_others', 'abuse', 'distress']
      and cardinality(page_categories) <= 4 and cardinality(review_categories) <= 4
    ),
  add constraint "what pages is reviewed" check (page_categories <@ review_categories),
  add constraint "self_harm is always reviewed" check ('self_harm' = any (review_categories)),
  add constraint "a least probability is from 0 to 1"
    check (
      page_least_self_harm between 0 and 1 and page_least_harm_others between 0 and 1
      and page_least_abuse between 0 and 1 and page_least_distress between 0 and 1
      and review_least_self_harm between 0 and 1 and review_least_harm_others between 0 and 1
      and review_least_abuse between 0 and 1 and review_least_distress between 0 and 1
    ),
  add constraint "quiet_rules are at most 50 rule ids"
    check (
      cardinality(quiet_rules) <= 50
      and array_position(quiet_rules, null) is null
      and array_to_string(quiet_rules, ',') || ',' ~ '^(([a-z0-9_.-]{1,64},)*|,)$'
      and cardinality(quiet_rules) = cardinality(string_to_array(array_to_string(quiet_rules, ','), ','))
    ),
  add constraint "review_rules are at most 50 rule ids"
    check (
      cardinality(review_rules) <= 50
      and array_position(review_rules, null) is null
      and array_to_string(review_rules, ',') || ',' ~ '^(([a-z0-9_.-]{1,64},)*|,)$'
      and cardinality(review_rules) = cardinality(string_to_array(array_to_string(review_rules, ','), ','))
    );

comment on table public.crisis_policies is 'When a clinician is paged or a review is due. Made with the organisation; written by its admins. The version rises by itself.';
comment on column public.crisis_policies.page_categories is 'What may page at all. Self-harm pages from page_at_level on.';
comment on column public.crisis_policies.page_least_self_harm is 'How probable it must be to page, where no hard rule forced it; 0 asks for nothing. The others likewise.';
comment on column public.crisis_policies.quiet_rules is 'Rule ids whose evidence alone pages nobody; what a hard rule forced pages all the same, self-harm from level 4 on.';
comment on column public.crisis_policies.review_rules is 'Rule ids whose evidence puts a message on the review list, whatever its level.';
comment on column public.crisis_policies.terms_version is 'The version that the organisation''s topic_terms last changed with. Set by trigger.';

grant update (
  page_categories, review_categories, page_least_self_harm, page_least_harm_others, page_least_abuse, page_least_distress,
  review_least_self_harm, review_least_harm_others, review_least_abuse, review_least_distress, quiet_rules, review_rules
) on public.crisis_policies to authenticated, service_role;

create or replace trigger written_in_the_audit_log after update on public.crisis_policies
  for each row execute function private.audit_row(
    'organization_id',
    'page_at_level,review_at_level,page_categories,review_categories,page_least_self_harm,page_least_harm_others,page_least_abuse,page_least_distress,review_least_self_harm,review_least_harm_others,review_least_abuse,review_least_distress,quiet_rules,review_rules,terms_version,version'
  );

-- As 20261123000300_alert_pages.sql had it, but that the policy says which categories page. An alert that the sidecar raised for one of
-- them is paged, and one that waited too long is judged by the policy of then.
create or replace function private.deserves_page(a public.alerts)
returns boolean
language sql stable security definer
set search_path = ''
as $$
  with policy as (
    select coalesce(c.page_at_level, 4) as page_at_level, coalesce(c.page_categories, '{self_harm,harm_others}') as categories
    from (select) one
    left join public.crisis_policies c on c.organization_id = a.organization_id
  )
  select coalesce((select a.level >= p.page_at_level and 'self_harm' = any (p.categories) from policy p), false)
    or exists (
      select from public.assessments x, policy p
      where x.id = a.assessment_id
        and (
          x.harm_others and 'harm_others' = any (p.categories)
          or x.abuse and 'abuse' = any (p.categories)
          or x.distress and 'distress' = any (p.categories)
        )
    )
    or a.level is null and not exists (
      select from public.alert_pages p
      where p.session_id = a.session_id
        and p.alert_id <> a.id
        and p.level is null
        and p.status <> 'failed'
        and p.created_at > now() - interval '1 hour'
    )
$$;
revoke all on function private.deserves_page(public.alerts) from public;
