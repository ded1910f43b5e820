-- Staff read; supervisors and admins write.
begin;
\ir fixtures/people.sql
insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at) values (tests.organization('alder'), tests.id('olive'), '2029-01-01', '2029-01-02');
select no_plan();

select * from tests.commands(
  $$ select from public.oncall_shifts $$,
  $$ insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at) values (tests.organization('alder'), tests.id('theo'), '2030-01-01', '2030-01-02') $$,
  $$ update public.oncall_shifts set ends_at = '2031-01-01' $$,
  $$ delete from public.oncall_shifts $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '0'],
    array['clio', '0', '42501', '0', '0'],
    array['bert', '0', '42501', '0', '0'],
    array['sunny at aal1', '0', '42501', '0', '0'],
    array['theo', '1', '42501', '0', '0'],
    array['olive', '1', '42501', '0', '0'],
    array['sunny', '1', '1', '1', '1'],
    array['ada', '1', '1', '1', '1'],
    array['vigil', '1', '42501', '42501', '42501'],
    array['service_role', '1', '1', '1', '1']
  ]
);

select * from tests.matrix(array[
  array['sunny', $$insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at, flagged_at)
    values (tests.organization('alder'), tests.id('theo'), '2030-01-01', '2030-01-02', now())$$, '42501'],
  array['sunny', $$insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
    values (tests.organization('alder'), tests.id('bram'), '2030-01-01', '2030-01-02')$$, '23503'],
  array['sunny', $$insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
    values (tests.organization('alder'), tests.id('theo'), '2030-01-02', '2030-01-01')$$, '23514']
]);

select * from finish();
rollback;
