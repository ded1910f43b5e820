-- The audit log's hash chain: whole after ordinary work, and any tampering is found.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

create function tests.broken() returns text language sql stable as $$
  select coalesce(private.first_broken_audit(tests.organization('alder'))::text, 'whole') || ' ' ||
    coalesce(private.first_broken_audit(tests.organization('birch'))::text, 'whole')
$$;

select cmp_ok(count(*), '>', 10::bigint, 'ordinary work is audited') from public.audit_log where organization_id = tests.organization('alder');
select is(tests.broken(), 'whole whole', 'each organisation''s chain is whole');
select is(min(seq), 1::bigint, 'it begins at 1') from public.audit_log where organization_id = tests.organization('alder');
select is(count(*), max(seq), 'and has no hole') from public.audit_log where organization_id = tests.organization('alder');
select is(previous_hash, '', 'the first entry follows nothing') from public.audit_log where organization_id = tests.organization('alder') and seq = 1;
select is(private.first_broken_audit(gen_random_uuid()), null, 'an organisation without entries is whole');

-- No text in it: not a name, not an address, not a body.
select is(
  count(*), 0::bigint, 'the audit log holds no name and no body'
) from public.audit_log a where a.details::text ~* 'example|practice|AQ[a-f0-9]{40}';

-- A change of nothing that is audited is no entry.
select count(*) as before from public.audit_log \gset
update public.sessions set scheduled_for = now();
update public.memberships set role = role;
select is(count(*), :before::bigint, 'an update that changes nothing told of is no entry') from public.audit_log;

-- Tampering, as only the tables' owner could do it.
alter table public.audit_log disable trigger user;
savepoint clean;
update public.audit_log set actor_id = gen_random_uuid() where organization_id = tests.organization('alder') and seq = 5;
select is(tests.broken(), '5 whole', 'a changed actor is found');
rollback to clean;
update public.audit_log set details = '{"role": "admin"}' where organization_id = tests.organization('alder') and seq = 3;
select is(tests.broken(), '3 whole', 'changed details are found');
rollback to clean;
update public.audit_log set at = at + interval '1 microsecond' where organization_id = tests.organization('alder') and seq = 4;
select is(tests.broken(), '4 whole', 'a changed time is found');
rollback to clean;
delete from public.audit_log where organization_id = tests.organization('alder') and seq = 7;
select is(tests.broken(), '8 whole', 'a removed entry is found at the next');
rollback to clean;
delete from public.audit_log where organization_id = tests.organization('alder') and seq = 1;
select is(tests.broken(), '2 whole', 'a removed first entry is found');
rollback to clean;
delete from public.audit_log where organization_id = tests.organization('alder') and seq = (select max(seq) from public.audit_log where organization_id = tests.organization('alder'));
select is(tests.broken(), '0 whole', 'a removed last entry is found by the head');
rollback to clean;
delete from public.audit_log where organization_id = tests.organization('alder');
select is(tests.broken(), '0 whole', 'a removed chain is found by the head');
rollback to clean;
update public.audit_log a set organization_id = tests.organization('alder'), seq = 1000
where a.organization_id = tests.organization('birch') and a.seq = 2;
select isnt(tests.broken(), 'whole whole', 'an entry moved between chains is found');
rollback to clean;
update public.audit_log a set details = '{}', hash = private.audit_hash((
  a.organization_id, a.seq, a.at, a.actor_id, a.actor_kind, a.action, a.subject_table, a.subject_id, '{}', a.previous_hash, a.hash)::public.audit_log)
where a.organization_id = tests.organization('alder') and a.seq = 6;
select is(tests.broken(), '7 whole', 'an entry rewritten with its hash is found at the next');
rollback to clean;
alter table public.audit_log enable trigger user;
select is(tests.broken(), 'whole whole', 'and untouched it is whole');

select * from finish();
rollback;
