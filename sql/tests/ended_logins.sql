-- Written by the triggers on auth.sessions and auth.users; read by the sidecar.
begin;
\ir fixtures/people.sql
delete from auth.sessions where id = tests.login('brook');
select no_plan();

select * from tests.commands(
  $$ select from public.ended_logins $$,
  $$ insert into public.ended_logins (login_id, user_id) values (gen_random_uuid(), gen_random_uuid()) $$,
  $$ update public.ended_logins set ended_at = now() $$,
  $$ delete from public.ended_logins $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '42501', '42501', '42501', '42501'],
    array['clio', '42501', '42501', '42501', '42501'],
    array['theo', '42501', '42501', '42501', '42501'],
    array['sunny', '42501', '42501', '42501', '42501'],
    array['ada', '42501', '42501', '42501', '42501'],
    array['service_role', '1', '42501', '42501', '42501'],
    array['vigil', '1', '42501', '42501', '42501']
  ]
);

select is(user_id, tests.id('brook'), 'a sign-out is recorded') from public.ended_logins where login_id = tests.login('brook');

-- A ban ends every login of the person for as long as it lasts; a soft deletion does for good.
create function tests.standing(who text) returns text language sql as $$
  select format('%s caller, %s login, %s sessions, %s told',
    (tests.read(who, 'select private.caller()') is not null)::int,
    tests.read('vigil', format('select count(*) from private.live_logins(%L)', array[tests.login(who)])),
    tests.read(who, 'select count(*) from public.sessions'),
    (select count(*) from public.ended_logins e where e.login_id = tests.login(who)))
$$;
select is(tests.standing('clio'), '1 caller, 1 login, 2 sessions, 0 told', 'clio, before');
update auth.users set updated_at = now() where id = tests.id('clio');
update auth.users set banned_until = now() - interval '1 second' where id = tests.id('clio');
select is(tests.standing('clio'), '1 caller, 1 login, 2 sessions, 0 told', 'clio, after a ban that is over');
update auth.users set banned_until = now() + interval '1 hour' where id = tests.id('clio');
select is(tests.standing('clio'), '0 caller, 0 login, 0 sessions, 1 told', 'clio, banned');
select is(tests.standing('theo'), '1 caller, 1 login, 2 sessions, 0 told', 'theo, when clio is banned');
update auth.users set banned_until = null where id = tests.id('clio');
select is(tests.standing('clio'), '1 caller, 1 login, 2 sessions, 1 told', 'clio, let in again');
update auth.users set deleted_at = now() where id = tests.id('clio');
select is(tests.standing('clio'), '0 caller, 0 login, 0 sessions, 1 told', 'clio, deleted softly');

-- Never in the way of a sign-out, or of a ban.
alter table public.ended_logins rename to ended_logins_away;
delete from auth.sessions where id = tests.login('bram');
select is((select count(*) from auth.sessions where id = tests.login('bram')), 0::bigint, 'a sign-out works even when it cannot be recorded');

update auth.users set banned_until = now() + interval '1 hour' where id = tests.id('theo');
select isnt((select banned_until from auth.users where id = tests.id('theo')), null, 'a ban works even when it cannot be recorded');

select * from finish();
rollback;
