-- Supervisors and admins read their organisation's; nobody writes but private.append_audit.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.audit_log where action = 'insert' and subject_table = 'memberships' $$,
  $$ insert into public.audit_log select * from public.audit_log limit 1 $$,
  $$ update public.audit_log set action = 'x' $$,
  $$ delete from public.audit_log $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['theo', '0', '42501', '42501', '42501'],
    array['ada at aal1', '0', '42501', '42501', '42501'],
    array['sunny', '5', '42501', '42501', '42501'],
    array['ada', '5', '42501', '42501', '42501'],
    array['bert', '4', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '9', '42501', '42501', '42501'],
    array['postgres', '9', '23505', 'VG015', 'VG015']
  ]
);

select * from tests.matrix(array[
  array['postgres', 'truncate public.audit_log', 'VG015'],
  array['ada', $$select private.append_audit(tests.organization('alder'), 'a', 'b', 'c', '{}')$$, '42501'],
  array['vigil', $$select private.append_audit(tests.organization('alder'), 'a', 'b', 'c', '{}')$$, '42501'],
  array['service_role', $$select private.append_audit(tests.organization('alder'), 'a', 'b', 'c', '{}')$$, '42501'],
  array['ada', 'select from private.audit_heads', '42501'],
  array['service_role', 'select from private.audit_heads', '42501']
]);

select * from finish();
rollback;
