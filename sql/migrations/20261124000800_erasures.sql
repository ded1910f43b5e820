-- Erasure: of one session, or of one person in one organisation. The wraps go first, and with them every key but the devices' own
-- (crypto-shredding); then all that was sealed or derived. What is left is this record, and the audit log's tombstones: ids and counts.
-- Closed here; opened in 20261124000801_erasures_policies.sql.
--
--   requested ──▶ shredded ──▶ done        shredded: nothing can be opened any more, and what the session's people may follow says so;
--                                          done: the sealed files are gone from Storage too, and the session's own row

create table if not exists public.erasures (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  kind text not null check (kind in ('session', 'person')),
  session_id uuid,
  person_id uuid,
  part_of uuid,
  requested_by uuid,
  people uuid[] not null default '{}',
  status text not null default 'requested' check (status in ('requested', 'shredded', 'done')),
  counts jsonb not null default '{}' check (jsonb_typeof(counts) = 'object'),
  objects_left int check (objects_left >= 0),
  audit_seq bigint,
  audit_hash text,
  created_at timestamptz not null default now(),
  shredded_at timestamptz,
  done_at timestamptz,
  check ((kind = 'session') = (session_id is not null)),
  check ((kind = 'person') = (person_id is not null)),
  check (part_of is null or kind = 'session'),
  check ((status = 'requested') = (shredded_at is null)),
  check ((status = 'done') = (done_at is not null)),
  check (status = 'requested' or (audit_seq is not null and audit_hash is not null))
);
comment on table public.erasures is 'The receipt of an erasure: what was asked for, what was destroyed (counts), and where the audit log says so. Written by request_erasure, and by the service role''s erase_session, erase_person and settle_erasure. No foreign keys: it outlives what it tells of.';
comment on column public.erasures.part_of is 'The erasure of a person that this session''s belongs to.';
comment on column public.erasures.people is 'Who took part in the session: they may read that it was erased. Not published.';
comment on column public.erasures.objects_left is 'Sealed files that are still in Storage. The bytes are nobody''s to open: their keys were in the messages.';
comment on column public.erasures.audit_seq is 'The entry of the organisation''s audit log that tells of the last step; audit_hash is its hash.';
create unique index if not exists erasures_open_session_key on public.erasures (session_id) where kind = 'session' and status <> 'done';
create unique index if not exists erasures_open_person_key on public.erasures (organization_id, person_id) where kind = 'person' and status <> 'done';
create index if not exists erasures_organization_id_idx on public.erasures (organization_id, created_at desc);
create index if not exists erasures_part_of_idx on public.erasures (part_of) where part_of is not null;
create index if not exists erasures_people_idx on public.erasures using gin (people);

create or replace function private.guard_erasure()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  changing constant text[] := array['status', 'counts', 'objects_left', 'audit_seq', 'audit_hash', 'shredded_at', 'done_at', 'people', 'part_of'];
begin
  if tg_op = 'DELETE' or to_jsonb(new) - changing <> to_jsonb(old) - changing
    or (old.status, new.status) not in (('requested', 'shredded'), ('shredded', 'shredded'), ('shredded', 'done'))
  then
    raise exception using errcode = 'VG015', message = 'a receipt stands: it is requested, shredded, done', hint = 'ask for another erasure';
  end if;
  return new;
end
$$;
revoke all on function private.guard_erasure() from public;

create or replace trigger a_receipt_stands
  before update or delete on public.erasures
  for each row execute function private.guard_erasure();

-- Writes the step in the organisation's chain, and the entry's place on the receipt: the head is locked until the transaction ends.
create or replace function private.audit_erasure(erasure public.erasures, action text)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.append_audit(
    erasure.organization_id, audit_erasure.action, 'erasures', erasure.id::text,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', erasure.kind, 'session_id', erasure.session_id, 'person_id', erasure.person_id, 'part_of', erasure.part_of,
      'counts', nullif(erasure.counts, '{}'), 'objects_left', erasure.objects_left
    ))
  );
  select h.seq, h.hash into erasure.audit_seq, erasure.audit_hash
  from private.audit_heads h where h.organization_id = erasure.organization_id;
  return erasure;
end
$$;
revoke all on function private.audit_erasure(public.erasures, text) from public;

-- A session one takes or took part in as client, or, without one, all of oneself in the organisation (the only one, if none is named). An
-- operator carries it out: law and care may ask that something be kept. Asking again gives the erasure that is under way. Right after signing in:
-- it cannot be taken back.
create or replace function private.request_erasure(session_id uuid, organization_id uuid)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
  wanted public.erasures;
  e public.erasures;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may ask for an erasure';
  end if;
  perform private.require_fresh_login(me);
  wanted.requested_by := me;
  if request_erasure.session_id is not null then
    select p.organization_id, p.session_id into wanted.organization_id, wanted.session_id
    from public.session_participants p
    where p.session_id = request_erasure.session_id and p.user_id = me and p.role = 'client';
    -- Held while it is asked: once the session is gone, so is what could be asked for.
    perform from public.sessions x where x.id = wanted.session_id for key share;
    if not found then
      raise exception using errcode = 'PT404', message = 'no such session of the caller as its client';
    end if;
    wanted.kind := 'session';
  else
    select min(m.organization_id::text)::uuid into wanted.organization_id
    from public.memberships m
    where m.user_id = me and (request_erasure.organization_id is null or m.organization_id = request_erasure.organization_id)
    having count(*) = 1;
    if wanted.organization_id is null then
      raise exception using errcode = 'PT404', message = 'the caller belongs to no such organisation, or to several',
        hint = 'name one: organization_id';
    end if;
    wanted.kind := 'person';
    wanted.person_id := me;
  end if;
  insert into public.erasures (organization_id, kind, session_id, person_id, requested_by)
  values (wanted.organization_id, wanted.kind, wanted.session_id, wanted.person_id, me)
  on conflict do nothing
  returning * into e;
  if e.id is not null then
    perform private.audit_erasure(e, 'request');
    return e;
  end if;
  select * into e from public.erasures x
  where x.status <> 'done' and x.kind = wanted.kind
    and (x.session_id = wanted.session_id or x.person_id = wanted.person_id and x.organization_id = wanted.organization_id);
  return e;
end
$$;

create or replace function public.request_erasure(session_id uuid default null, organization_id uuid default null)
returns public.erasures language sql set search_path = ''
as $$ select * from private.request_erasure(session_id, organization_id) $$;

alter table public.erasures enable row level security;

revoke all on public.erasures from public, anon, authenticated, service_role, vigil;

grant select on public.erasures to authenticated, service_role;

revoke all on function private.request_erasure(uuid, uuid) from public;
revoke all on function public.request_erasure(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.request_erasure(uuid, uuid) to authenticated;
grant execute on function public.request_erasure(uuid, uuid) to authenticated;
