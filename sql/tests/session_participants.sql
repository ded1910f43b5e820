-- Participants and clinicians read; create_session writes.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.session_participants $$,
  $$ insert into public.session_participants (session_id, user_id, organization_id, role) values (tests.session('strict'), tests.id('olive'), tests.organization('alder'), 'therapist') $$,
  $$ update public.session_participants set ended_at = now() $$,
  $$ delete from public.session_participants $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['clio', '4', '42501', '42501', '42501'],
    array['theo', '4', '42501', '42501', '42501'],
    array['sunny', '4', '42501', '42501', '42501'],
    array['bram', '2', '42501', '42501', '42501'],
    array['vigil', '6', '42501', '42501', '42501'],
    array['service_role', '6', '42501', '42501', '42501']
  ]
);

-- The rules hold for operators too.
select * from tests.matrix(array[
  array['postgres', $$insert into public.session_participants (session_id, user_id, organization_id, role)
    values (tests.session('strict'), tests.id('ada'), tests.organization('alder'), 'therapist')$$, 'VG016'],
  array['postgres', $$insert into public.session_participants (session_id, user_id, organization_id, role)
    values (tests.session('strict'), tests.id('bram'), tests.organization('alder'), 'therapist')$$, 'VG016'],
  array['postgres', $$insert into public.session_participants (session_id, user_id, organization_id, role)
    values (tests.session('strict'), tests.id('bram'), tests.organization('birch'), 'therapist')$$, '23503'],
  array['postgres', $$update public.session_participants set user_id = tests.id('olive') where user_id = tests.id('theo')$$, 'VG016']
]);

select * from finish();
rollback;
