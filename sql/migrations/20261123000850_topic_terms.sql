-- An organisation's own words for topics. Closed here; opened in 20261123000851_topic_terms_policies.sql. Not on the stream: a change
-- of them is a change of the organisation's crisis policy, and the sidecar reads them anew.

create table if not exists public.topic_terms (
  organization_id uuid not null references public.crisis_policies (organization_id) on delete cascade,
  topic text not null,
  term text not null,
  language text not null default '',
  created_at timestamptz not null default now(),
  primary key (organization_id, topic, term, language),
  constraint "a topic is a slug of at most 40 letters" check (length(topic) <= 40 and topic ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  constraint "a term is of 2 to 60 letters, in one line" check (length(term) between 2 and 60 and term !~ '[[:cntrl:]]' and term = btrim(term)),
  constraint "a term is nobody's number or address" check (term !~ '[0-9]{4}|@'),
  constraint "a language is its ISO 639-1 code, or empty" check (language ~ '^([a-z]{2})?$')
);
comment on table public.topic_terms is 'Words by which the detector knows an organisation''s own topics. Inserted and deleted by its admins. Never about a person.';
comment on column public.topic_terms.language is 'The term counts in messages of this language only; empty is any.';

-- The policy's row is locked first, as by every change of a policy: the audit log comes last.
create or replace function private.hold_crisis_policy()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  changed public.topic_terms := coalesce(new, old);
begin
  perform from public.crisis_policies c where c.organization_id = changed.organization_id for no key update;
  return changed;
end
$$;
revoke all on function private.hold_crisis_policy() from public;

create or replace trigger a_topic_term_holds_the_policy
  before insert or delete on public.topic_terms
  for each row execute function private.hold_crisis_policy();

create or replace function private.bump_terms_version()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant int := 300;
begin
  if tg_op = 'INSERT' and exists (
    select from public.topic_terms t
    where t.organization_id in (select c.organization_id from changed c)
    group by t.organization_id
    having count(*) > most
  ) then
    raise exception using errcode = '23514', message = format('an organisation has at most %s topic terms', most);
  end if;
  update public.crisis_policies c set terms_version = c.version + 1
  where c.organization_id in (select x.organization_id from changed x);
  return null;
end
$$;
revoke all on function private.bump_terms_version() from public;

create or replace trigger new_topic_terms_change_the_policy
  after insert on public.topic_terms
  referencing new table as changed
  for each statement execute function private.bump_terms_version();
create or replace trigger deleted_topic_terms_change_the_policy
  after delete on public.topic_terms
  referencing old table as changed
  for each statement execute function private.bump_terms_version();

create or replace trigger written_in_the_audit_log after insert or delete on public.topic_terms
  for each row execute function private.audit_row('organization_id,topic', 'topic,language');

alter table public.topic_terms enable row level security;

revoke all on public.topic_terms from public, anon, authenticated, service_role, vigil;

grant select on public.topic_terms to authenticated, service_role, vigil;
grant insert (organization_id, topic, term, language) on public.topic_terms to authenticated, service_role;
grant delete on public.topic_terms to authenticated, service_role;
