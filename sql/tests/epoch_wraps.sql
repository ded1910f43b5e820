-- A wrap is read by the person whose device it is sealed to; by the sidecar only its own.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select epoch from public.epoch_wraps $$,
  $$ insert into public.epoch_wraps (session_id, epoch, device_id, organization_id, role, wrap) values (tests.session('strict'), 1, md5('analysis')::uuid, tests.organization('alder'), 9, tests.bytes('w', 151)) $$,
  $$ update public.epoch_wraps set wrap = wrap $$,
  $$ delete from public.epoch_wraps $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['sunny', '0', '42501', '42501', '42501'],
    array['clio', '2', '42501', '42501', '42501'],
    array['theo', '2', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['service_role', '8', '42501', '42501', '8']
  ]
);

select is(
  tests.read('vigil', 'select string_agg(distinct device_id::text, '','') from public.epoch_wraps'), md5('analysis')::uuid::text,
  'the sidecar sees wraps of the analysis device only'
);
select is(
  tests.read('clio', 'select string_agg(distinct device_id::text, '','') from public.epoch_wraps'), tests.device('clio')::text,
  'a client sees wraps of their own device only'
);
select is(tests.attempt('service_role', 'select wrap from public.epoch_wraps'), '42501', 'the service role never sees a wrap');

select * from finish();
rollback;
