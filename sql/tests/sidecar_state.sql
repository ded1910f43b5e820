-- The sidecar's own.
begin;
\ir fixtures/people.sql
insert into public.sidecar_state (slot) values ('vigil');
select no_plan();

select * from tests.commands(
  $$ select from public.sidecar_state $$,
  $$ insert into public.sidecar_state (slot) values ('other') $$,
  $$ update public.sidecar_state set last_lsn = '0/1' $$,
  $$ delete from public.sidecar_state $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '42501', '42501', '42501', '42501'],
    array['clio', '42501', '42501', '42501', '42501'],
    array['theo', '42501', '42501', '42501', '42501'],
    array['sunny', '42501', '42501', '42501', '42501'],
    array['ada', '42501', '42501', '42501', '42501'],
    array['service_role', '1', '42501', '42501', '42501'],
    array['vigil', '1', '1', '1', '42501']
  ]
);

select * from finish();
rollback;
