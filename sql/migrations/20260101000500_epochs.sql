-- Key epochs and their wraps. Closed here; opened in 20260101002300_epochs_policies.sql. Bytes are base64url text.

create table if not exists public.session_epochs (
  session_id uuid not null,
  epoch int not null check (epoch >= 1),
  organization_id uuid not null,
  device_id uuid not null references public.devices (id),
  roster jsonb not null,
  roster_hash text not null check (roster_hash ~ '^[A-Za-z0-9_-]{43}$'),
  key_commit text not null check (key_commit ~ '^[A-Za-z0-9_-]{43}$'),
  consent_id uuid,
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  suite int not null default 2 check (suite = 2),
  assisted boolean not null,
  created_at timestamptz not null default now(),
  primary key (session_id, epoch),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  foreign key (session_id, consent_id) references public.session_consents (session_id, id),
  check (assisted = (consent_id is not null))
);
comment on table public.session_epochs is 'One generation of a session''s key: who holds it (roster), and who made it (device_id). Written by create_epoch only; append-only.';
comment on column public.session_epochs.assisted is 'The analysis device is on the roster. Set by trigger from the session''s mode, which the roster must agree with.';

create table if not exists public.epoch_wraps (
  session_id uuid not null,
  epoch int not null,
  device_id uuid not null references public.devices (id),
  organization_id uuid not null,
  role smallint not null check (role in (1, 2, 3, 9)),
  wrap text not null check (wrap ~ '^[A-Za-z0-9_-]{151}$'),
  created_at timestamptz not null default now(),
  primary key (session_id, epoch, device_id),
  foreign key (session_id, epoch) references public.session_epochs (session_id, epoch) on delete cascade
);
comment on table public.epoch_wraps is 'The epoch key, sealed to one device of the roster. Written by create_epoch only; deleted to erase. Not published.';
comment on column public.epoch_wraps.role is '1 client, 2 therapist, 3 on-call clinician, 9 analysis: from the roster, never from the caller.';
create index if not exists epoch_wraps_device_id_idx on public.epoch_wraps (device_id);

create or replace function private.next_epoch(session uuid)
returns int
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return (select coalesce(max(e.epoch), 0) + 1 from public.session_epochs e where e.session_id = session);
end
$$;
revoke all on function private.next_epoch(uuid) from public;

-- SHA256( "pe1/roster" 00 ‖ for each member by kid: kid16 ‖ role1 ‖ SHA256(enc_pub) ‖ SHA256(sig_pub or empty) ), as ENVELOPE says.
create or replace function private.roster_hash(roster jsonb)
returns text
language sql immutable strict
set search_path = ''
as $$
  select private.to_base64url(sha256(
    convert_to('pe1/roster', 'UTF8') || '\x00'::bytea || coalesce(string_agg(
      uuid_send(m.kid) || set_byte('\x00'::bytea, 0, m.role)
        || sha256(private.from_base64url(m.enc_pub))
        || sha256(private.from_base64url(coalesce(m.sig_pub, ''))),
      ''::bytea order by m.kid
    ), ''::bytea)
  ))
  from jsonb_to_recordset(roster) as m (kid uuid, role int, enc_pub text, sig_pub text)
$$;
revoke all on function private.roster_hash(jsonb) from public;

-- The one roster that this session may have now, sorted by kid.
create or replace function private.expected_roster(session uuid)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('kid', r.id, 'role', r.role, 'enc_pub', r.enc_pub, 'sig_pub', r.sig_pub) order by r.id), '[]')
  from (
    select d.id, case p.role when 'client' then 1 else 2 end as role, d.enc_pub, d.sig_pub
    from private.active_participants(session) p
    join public.devices d on d.user_id = p.user_id
    where d.kind = 'participant'
      and d.revoked_at is null
    union all
    select a.id, 9, a.enc_pub, a.sig_pub
    from private.analysis_device() a
    where exists (select from public.sessions s where s.id = session and s.mode = 'assisted')
  ) r
$$;
revoke all on function private.expected_roster(uuid) from public;

-- Before insert: the database agrees to the epoch, or names what is wrong with it.
create or replace function private.admit_epoch()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions;
  expected jsonb;
  given jsonb;
  next_epoch int;
begin
  perform from public.session_counters where session_id = new.session_id for update;
  select * into s from public.sessions where id = new.session_id;
  if private.participation(new.session_id) is null then
    raise exception using errcode = '42501', message = 'only someone who takes part in the session may make an epoch';
  end if;
  if s.status = 'ended' then
    raise exception using errcode = 'VG002', message = 'the session has ended', detail = jsonb_build_object('status', s.status)::text;
  end if;
  perform from public.devices d where d.id = new.device_id and d.user_id = auth.uid() and d.revoked_at is null;
  if not found then
    raise exception using errcode = 'VG011', message = 'an epoch must be made by an unrevoked device of the caller';
  end if;
  next_epoch := private.next_epoch(new.session_id);
  if new.epoch is distinct from next_epoch then
    raise exception using
      errcode = 'PT409',
      message = format('the next epoch of this session is %s', next_epoch),
      detail = jsonb_build_object('next_epoch', next_epoch, 'min_epoch', s.min_epoch)::text,
      hint = 'another device was first, or this one is behind: read session_epochs and use the latest, or make the next';
  end if;
  if new.suite is distinct from 2 then
    raise exception using errcode = 'VG003', message = 'only suite 2 is accepted';
  end if;

  new.organization_id := s.organization_id;
  new.assisted := s.mode = 'assisted';
  new.created_at := now();
  perform private.check_epoch_consent(s, new.consent_id);

  expected := private.expected_roster(new.session_id);
  select jsonb_agg(e.member order by e.member ->> 'kid') into given
  from jsonb_array_elements(case when jsonb_typeof(new.roster) = 'array' then new.roster else '[]' end) e (member);
  if given is distinct from expected then
    raise exception using
      errcode = 'VG004',
      message = 'the roster is not exactly the devices that must hold this epoch''s key',
      detail = private.roster_difference(given, expected)::text,
      hint = 'read devices and session_participants again and make the epoch anew';
  end if;
  if new.roster_hash is distinct from private.roster_hash(expected) then
    raise exception using errcode = 'VG005', message = 'roster_hash is not the hash of the roster';
  end if;
  return new;
end
$$;
revoke all on function private.admit_epoch() from public;

create or replace trigger an_epoch_is_checked_before_it_is_made
  before insert on public.session_epochs
  for each row execute function private.admit_epoch();

create or replace trigger an_epoch_stands
  before update on public.session_epochs
  for each row execute function private.refuse_change('make the next epoch');

-- Assisted: an unwithdrawn consent to analysis of every client who takes part, and the epoch names one of them. Strict: none. A consent
-- counts while the device that signed it does: the sidecar opens nothing of an epoch that names another.
create or replace function private.check_epoch_consent(s public.sessions, consent uuid)
returns void
language plpgsql stable security definer
set search_path = ''
as $$
declare
  without_consent jsonb;
begin
  if s.mode = 'strict' then
    if consent is not null then
      raise exception using errcode = 'VG006', message = 'a strict session''s epoch names no consent';
    end if;
    return;
  end if;
  if not exists (select from private.analysis_device()) then
    raise exception using errcode = 'VG007', message = 'no analysis device is registered', hint = 'start the sidecar: it registers its key';
  end if;
  select coalesce(jsonb_agg(p.user_id order by p.user_id), '[]') into without_consent
  from private.active_participants(s.id) p
  where p.role = 'client'
    and not exists (
      select from public.session_consents c
      join public.devices d on d.id = c.device_id and d.revoked_at is null
      where c.session_id = s.id
        and c.user_id = p.user_id
        and c.withdrawn_at is null
        and 'analysis' = any (c.scope)
    );
  if jsonb_array_length(without_consent) > 0 then
    raise exception using
      errcode = 'VG006',
      message = 'an assisted session needs the client''s consent to analysis',
      detail = without_consent::text,
      hint = 'detail is the list of user ids whose consent is missing; or make the session strict';
  end if;
  perform from public.session_consents c
  join private.active_participants(s.id) p on p.user_id = c.user_id and p.role = 'client'
  join public.devices d on d.id = c.device_id and d.revoked_at is null
  where c.id = consent
    and c.session_id = s.id
    and c.withdrawn_at is null
    and 'analysis' = any (c.scope);
  if not found then
    raise exception using errcode = 'VG006', message = 'consent_id names no valid consent to analysis in this session', detail = '[]';
  end if;
end
$$;
revoke all on function private.check_epoch_consent(public.sessions, uuid) from public;

create or replace function private.roster_difference(given jsonb, expected jsonb)
returns jsonb
language sql immutable
set search_path = ''
as $$
  select jsonb_build_object(
    'missing', coalesce((
      select jsonb_agg(e.m -> 'kid') from jsonb_array_elements(expected) e (m)
      where not coalesce(given, '[]') @> jsonb_build_array(jsonb_build_object('kid', e.m -> 'kid'))
    ), '[]'),
    'not_expected', coalesce((
      select jsonb_agg(g.m -> 'kid') from jsonb_array_elements(coalesce(given, '[]')) g (m)
      where not expected @> jsonb_build_array(jsonb_build_object('kid', g.m -> 'kid'))
    ), '[]'),
    'different', coalesce((
      select jsonb_agg(g.m -> 'kid') from jsonb_array_elements(coalesce(given, '[]')) g (m)
      where expected @> jsonb_build_array(jsonb_build_object('kid', g.m -> 'kid'))
        and not exists (select from jsonb_array_elements(expected) e (m) where e.m = g.m)
    ), '[]')
  )
$$;
revoke all on function private.roster_difference(jsonb, jsonb) from public;

alter table public.session_epochs enable row level security;
alter table public.epoch_wraps enable row level security;

revoke all on public.session_epochs, public.epoch_wraps from public, anon, authenticated, service_role, vigil;

grant select on public.session_epochs, public.epoch_wraps to authenticated;
grant select on public.session_epochs to service_role;
grant delete on public.epoch_wraps to service_role;
grant select (session_id, epoch, device_id, organization_id, role, created_at) on public.epoch_wraps to service_role;
grant select on public.session_epochs, public.epoch_wraps to vigil;
