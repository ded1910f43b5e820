-- The access-token hook, founding an organisation, and which logins still stand.
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.event(user_id text) returns text language sql immutable as $$
  select format('{"user_id": %s, "claims": {"sub": %s, "role": "authenticated"}}', to_json(user_id), to_json(user_id))
$$;
select * from tests.matrix(array[
  array['anon', format('select private.custom_access_token_hook(%L)', tests.event(tests.id('theo')::text)), '42501'],
  array['theo', format('select private.custom_access_token_hook(%L)', tests.event(tests.id('theo')::text)), '42501'],
  array['service_role', format('select private.custom_access_token_hook(%L)', tests.event(tests.id('theo')::text)), '42501'],
  array['vigil', format('select private.custom_access_token_hook(%L)', tests.event(tests.id('theo')::text)), '42501'],
  array['supabase_auth_admin', format('select private.custom_access_token_hook(%L)', tests.event(tests.id('theo')::text)), '1']
]);
select is(
  private.custom_access_token_hook(tests.event(tests.id('theo')::text)::jsonb) -> 'claims',
  jsonb_build_object('sub', tests.id('theo'), 'role', 'authenticated', 'memberships',
    jsonb_build_array(jsonb_build_object('organization_id', tests.organization('alder'), 'role', 'therapist'))),
  'the token says, for screens, where one is what; the claim role stays'
);
select is(private.custom_access_token_hook(tests.event(tests.id('nobody')::text)::jsonb) #> '{claims,memberships}', '[]', 'nobody is nothing');
update public.memberships set ended_at = now() where user_id = tests.id('theo');
select is(private.custom_access_token_hook(tests.event(tests.id('theo')::text)::jsonb) #> '{claims,memberships}', '[]', 'an ended membership is none');
select is(private.custom_access_token_hook(tests.event('no uuid')::jsonb), tests.event('no uuid')::jsonb, 'a bad event comes back as it was: nobody is kept out');

-- A claim forged or out of date gives nothing: policies read memberships.
select set_config('request.jwt.claims', json_build_object('sub', tests.id('nobody'), 'role', 'authenticated', 'session_id', tests.login('nobody'), 'aal', 'aal2',
  'memberships', json_build_array(json_build_object('organization_id', tests.organization('alder'), 'role', 'supervisor')))::text, true);
set local role authenticated;
select is(count(*), 0::bigint, 'a claim of membership opens nothing') from public.sessions;
reset role;

-- A token of one person with the login of another.
select set_config('request.jwt.claims', json_build_object('sub', tests.id('sunny'), 'role', 'authenticated', 'session_id', tests.login('clio'), 'aal', 'aal2')::text, true);
set local role authenticated;
select is(count(*), 0::bigint, 'a login counts for its own person only') from public.sessions;
reset role;
select tests.become_tester();

select * from tests.matrix(array[
  array['anon', $$select private.found_organization('Elm practice', 'nobody@example.invalid')$$, '42501'],
  array['ada', $$select private.found_organization('Elm practice', 'nobody@example.invalid')$$, '42501'],
  array['vigil', $$select private.found_organization('Elm practice', 'nobody@example.invalid')$$, '42501'],
  array['service_role', $$select private.found_organization('Elm practice', 'nobody@example.invalid')$$, '42501'],
  array['postgres', $$select private.found_organization('Elm practice', 'absent@example.invalid')$$, 'VG018'],
  array['postgres', $$select private.found_organization('Elm practice', 'NOBODY@example.invalid')$$, '1']
]);
select tests.act('postgres', $$select private.found_organization('Elm practice', 'nobody@example.invalid')$$);
select results_eq(
  $$select m.role, o.suggestions, o.require_aal2, c.page_at_level from public.organizations o
    join public.memberships m on m.organization_id = o.id join public.crisis_policies c on c.organization_id = o.id where o.name = 'Elm practice'$$,
  $$values ('admin', 'off', true, 4::smallint)$$, 'an organisation begins with an admin, a crisis policy, and the careful defaults'
);

select * from tests.matrix(array[
  array['theo', format('select private.live_logins(%L)', array[tests.login('theo')]), '42501'],
  array['vigil', format('select private.live_logins(%L)', array[tests.login('theo'), gen_random_uuid()]), '1']
]);

-- The fingerprint of all that access rests on.
select * from tests.matrix(array[
  array['clio', 'select private.policy_fingerprint()', '42501'],
  array['vigil', 'select private.policy_fingerprint()', '1']
]);
create function tests.changes(command text) returns boolean language plpgsql as $$
declare
  before_it constant text := private.policy_fingerprint();
begin
  execute command;
  return before_it <> private.policy_fingerprint();
end
$$;
select ok(not tests.changes('select 1'), 'the fingerprint stands while nothing changes');
select ok(tests.changes(command), 'the fingerprint changes on: ' || left(command, 60))
from unnest(array[
  'drop policy "vigil reads sessions" on public.sessions',
  'alter policy "vigil reads devices" on public.devices using (false)',
  'create policy "everyone reads sessions" on public.sessions for select to authenticated using (true)',
  'alter table public.sessions disable row level security',
  'grant select on public.sessions to anon',
  'grant update (mode) on public.sessions to authenticated',
  'create or replace function private.sessions_of_clinician() returns setof uuid language sql stable as ''select null::uuid''',
  'grant execute on function private.append_audit(uuid, text, text, text, jsonb) to authenticated',
  'grant usage on schema private to anon',
  'grant service_role to vigil',
  'alter function private.attends(uuid) strict',
  'alter role authenticated bypassrls',
  'alter role authenticated noinherit',
  'delete from relay.permissions where extension = ''presence''',
  'alter function auth.uid() owner to postgres'
]) as c (command);

-- What an owner of ours has made beside our schemas counts too: a policy may rest on it.
create schema ward authorization postgres;
select ok(tests.changes(command), 'the fingerprint changes on: ' || left(command, 60))
from unnest(array[
  'create function ward.is_open() returns boolean language sql stable as ''select true''',
  'create or replace function ward.is_open() returns boolean language sql stable as ''select false''',
  'create view ward.staff as select user_id from public.memberships',
  'create or replace view ward.staff as select user_id from public.memberships where ended_at is null',
  'alter view ward.staff set (security_invoker = on)',
  'grant usage on schema ward to authenticated',
  'grant select on ward.staff to authenticated'
]) as c (command);
-- How one is a member: known by role only, before 16.
select ok(current_setting('server_version_num')::int < 160000 or tests.changes('grant authenticated to vigil with inherit true'), 'the fingerprint changes on: grant … with inherit');

-- The same expression, at the same place of its statement: only which of the two it is differs.
create function tests.fingerprint_with(policy text) returns text language plpgsql as $$
declare
  with_it text;
begin
  execute 'create policy "anybody writes" on public.sessions for update to authenticated ' || policy;
  with_it := private.policy_fingerprint();
  drop policy "anybody writes" on public.sessions;
  return with_it;
end
$$;
select isnt(
  tests.fingerprint_with('using      (true)'), tests.fingerprint_with('with check (true)'), 'the fingerprint tells using from with check'
);

select * from finish();
rollback;
