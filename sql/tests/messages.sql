-- Participants send as themselves and never change what was sent. More refusals: message_admission.sql.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.messages $$,
  $$ insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values (gen_random_uuid(), tests.session('assisted'), tests.device('clio'), 1, 7, tests.body('x')) $$,
  $$ update public.messages set body = body $$,
  $$ delete from public.messages $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '2', 'VG011', '42501', '42501'],
    array['clio', '2', '1', '42501', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '3'],
    array['postgres', '3', '42501', 'VG015', '3']
  ]
);

select * from tests.matrix(array[
  array['clio', $$insert into public.messages (id, session_id, sender_device_id, epoch, seq, body, position)
    values (gen_random_uuid(), tests.session('assisted'), tests.device('clio'), 1, 7, tests.body('x'), 99)$$, '42501'],
  array['clio', $$insert into public.messages (id, session_id, sender_device_id, epoch, seq, body, assisted)
    values (gen_random_uuid(), tests.session('assisted'), tests.device('clio'), 1, 7, tests.body('x'), false)$$, '42501'],
  array['postgres', 'truncate public.messages cascade', 'VG015']
]);
select is(
  tests.read('vigil', 'select bool_and(assisted)::text from public.messages'), 'true', 'the sidecar sees no strict message'
);

select * from finish();
rollback;
