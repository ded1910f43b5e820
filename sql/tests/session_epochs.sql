-- Participants and clinicians read; only create_epoch writes (epochs.sql).
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.session_epochs $$,
  $$ insert into public.session_epochs select * from public.session_epochs limit 1 $$,
  $$ update public.session_epochs set key_commit = key_commit $$,
  $$ delete from public.session_epochs $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['clio', '2', '42501', '42501', '42501'],
    array['theo', '2', '42501', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['vigil', '3', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '42501'],
    array['postgres', '3', '42501', 'VG015', '23503']
  ]
);

select * from finish();
rollback;
