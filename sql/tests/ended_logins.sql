-- Written by the trigger on auth.sessions; read by the sidecar.
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

-- Never in the way of a sign-out.
alter table public.ended_logins rename to ended_logins_away;
delete from auth.sessions where id = tests.login('bram');
select is((select count(*) from auth.sessions where id = tests.login('bram')), 0::bigint, 'a sign-out works even when it cannot be recorded');

select * from finish();
rollback;
