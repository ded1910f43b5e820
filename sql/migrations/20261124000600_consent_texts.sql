-- What people agree to, word for word. A consent is over the hash of a text; here an organisation keeps the texts, so that later anybody can
-- be shown what was agreed to. Closed here; opened in 20261124000601_consent_texts_policies.sql.
--
--   published ──▶ retired        the consents given to it stand

create table if not exists public.consent_texts (
  organization_id uuid not null references public.organizations (id) on delete cascade,
  text_hash text not null check (text_hash ~ '^[A-Za-z0-9_-]{43}$'),
  version int not null check (version >= 1),
  scope text[] not null check (
    cardinality(scope) between 1 and 3 and scope <@ array['analysis', 'crisis_access', 'external_models'] and array_position(scope, null) is null
  ),
  language text not null check (language ~ '^[a-z]{2,3}(-[A-Z]{2})?$'),
  body text not null check (length(body) between 1 and 4000),
  published_at timestamptz not null default now(),
  retired_at timestamptz,
  primary key (organization_id, text_hash),
  unique (organization_id, version)
);
comment on table public.consent_texts is 'The texts that an organisation''s clients consent to, by their hash. Written by its admins: published, and retired; never changed. Never about a person.';
comment on column public.consent_texts.text_hash is 'base64url(SHA-256(body, UTF-8)), as session_consents.text_hash. Set by trigger, as is version.';
comment on column public.consent_texts.scope is 'What the text explains: a consent to one of these must be to such a text.';

create or replace function private.publish_consent_text()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.organizations o where o.id = new.organization_id for no key update;
  new.text_hash := private.to_base64url(sha256(convert_to(new.body, 'UTF8')));
  new.version := (select coalesce(max(t.version), 0) + 1 from public.consent_texts t where t.organization_id = new.organization_id);
  new.scope := array(select distinct unnest(new.scope) order by 1);
  new.published_at := now();
  new.retired_at := null;
  return new;
end
$$;
revoke all on function private.publish_consent_text() from public;

create or replace trigger a_consent_text_gets_its_hash_and_version
  before insert on public.consent_texts
  for each row execute function private.publish_consent_text();

create or replace function private.guard_consent_text()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if to_jsonb(new) - 'retired_at' <> to_jsonb(old) - 'retired_at' or old.retired_at is not null then
    raise exception using errcode = 'VG015', message = 'a text stands as it was published, and is retired once', hint = 'publish the next version';
  end if;
  if new.retired_at is not null then
    new.retired_at := now();
  end if;
  return new;
end
$$;
revoke all on function private.guard_consent_text() from public;

create or replace trigger a_consent_text_stands
  before update on public.consent_texts
  for each row execute function private.guard_consent_text();

create or replace trigger written_in_the_audit_log after insert or update on public.consent_texts
  for each row execute function private.audit_row('organization_id,text_hash', 'version,scope,language,retired_at');

-- As 20261124000110_admitted_devices.sql had it, and: where the organisation ever published a text for what is consented to, it is one in force.
-- Where it never did, the app that asks keeps its own.
create or replace function private.admit_consent()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  unexplained text[];
begin
  if private.participation(new.session_id) is distinct from 'client' then
    raise exception using errcode = '42501', message = 'only a client who takes part in the session may give consent';
  end if;
  perform private.require_device(new.device_id, 'consent must be signed by an unrevoked device of the caller');
  select s.organization_id into new.organization_id from public.sessions s where s.id = new.session_id;
  new.user_id := auth.uid();
  new.scope := array(select distinct unnest(new.scope) order by 1);
  unexplained := array(
    select g.scope
    from unnest(new.scope) g (scope)
    where exists (
      select from public.consent_texts t where t.organization_id = new.organization_id and g.scope = any (t.scope)
    ) and not exists (
      select from public.consent_texts t
      where t.organization_id = new.organization_id and t.retired_at is null and g.scope = any (t.scope) and t.text_hash = new.text_hash
    )
    order by 1
  );
  if cardinality(unexplained) > 0 then
    raise exception using
      errcode = 'VG023',
      message = 'the organisation has another text for this',
      detail = to_jsonb(unexplained)::text,
      hint = 'detail lists the scopes; read consent_texts again, and show the text that is in force';
  end if;
  new.given_at := now();
  new.withdrawn_at := null;
  new.withdrawal_signature := null;
  return new;
end
$$;

alter table public.consent_texts enable row level security;

revoke all on public.consent_texts from public, anon, authenticated, service_role, vigil;

grant select on public.consent_texts to authenticated, service_role;
grant insert (organization_id, scope, language, body), update (retired_at) on public.consent_texts to authenticated, service_role;
