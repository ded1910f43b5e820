-- What must hold for every table, function and policy, whoever adds one: row-level security, no loose grant, the advisor's rules.
-- Each query names what is wrong; an empty answer is right.
begin;
set local client_min_messages = warning;
create extension if not exists pgtap with schema extensions;
set search_path = public, extensions;
select no_plan();

create temporary view ours as
select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind, c.relrowsecurity as closed, c.reloptions as options
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'private', 'relay');
create temporary view our_functions as
select p.oid, n.nspname as schema, p.oid::regprocedure::text as name, p.prosecdef as definer, p.proconfig as settings, p.proretset as a_set,
  p.provolatile as volatility, p.prorettype, p.proacl, p.prosrc
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('public', 'private', 'relay')
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');

-- Tables.
select is_empty($$select schema, name from ours where kind in ('r', 'p') and not closed$$, 'row-level security is on everywhere');
select is_empty(
  $$select name from ours where kind in ('r', 'p') and obj_description(oid, 'pg_class') is null$$, 'every table has a comment'
);
select is_empty(
  $$select name from ours where kind in ('r', 'p') and obj_description(oid, 'pg_class') !~* '(written|inserted|made) '$$, 'which says who writes it'
);
select is_empty($$select name from ours where kind in ('v', 'm') and not coalesce(options, '{}') @> '{security_invoker=on}'$$, 'no view runs as its owner');
select is_empty(
  $$select o.schema, o.name, a.grantee::regrole, a.privilege_type from ours o join pg_class c on c.oid = o.oid, aclexplode(c.relacl) a
    where o.kind <> 'i' and (a.grantee = 0 or a.grantee = 'anon'::regrole)$$,
  'nothing is granted to public or to anon'
);
select is_empty(
  $$select o.name, a.attname from ours o join pg_attribute a on a.attrelid = o.oid, aclexplode(a.attacl) g
    where g.grantee = 0 or g.grantee = 'anon'::regrole$$,
  'not even a column'
);
select is_empty(
  $$select o.name, r from ours o, unnest(array['anon', 'authenticated', 'service_role', 'vigil']) r
    where o.kind in ('r', 'p') and (has_table_privilege(r, o.oid, 'truncate') or has_table_privilege(r, o.oid, 'references') or has_table_privilege(r, o.oid, 'trigger'))$$,
  'nobody but the owner may truncate, reference or put triggers'
);
select is_empty(
  $$select t.relname, k.conname from pg_constraint k join pg_class t on t.oid = k.conrelid join ours o on o.oid = t.oid
    where k.contype = 'f' and not exists (
      select from pg_index i where i.indrelid = k.conrelid and i.indkey[0] = any (k.conkey)
    ) and k.confdeltype in ('c', 'n')$$,
  'a foreign key that cascades has an index to cascade by'
);

-- Policies.
select is_empty(
  $$select tablename, policyname from pg_policies where schemaname in ('public', 'private', 'relay') and (roles = '{public}' or 'anon' = any (roles))$$,
  'every policy says to whom, and none says anon'
);
select is_empty($$select tablename, policyname from pg_policies where schemaname in ('public', 'private', 'relay') and cmd = 'ALL'$$, 'every policy is for one command');
select is_empty(
  $$select tablename, policyname from pg_policies where schemaname in ('public', 'private', 'relay') and policyname !~ '^[a-z]+(''s)? .* .*[a-z]$'$$,
  'every policy is named as a sentence'
);
-- As planned: a call that is not below a `select` runs once a row.
select is_empty(
  $$select tablename, policyname from pg_policies
    where schemaname in ('public', 'private', 'relay')
      and regexp_replace(coalesce(qual, '') || ' ' || coalesce(with_check, ''), 'SELECT\s+(auth|private|relay)\.[a-z_0-9]+\((relay\.topic_id\(\))?\)', '', 'g') ~ '(auth|private|relay)\.[a-z_0-9]+\('$$,
  'no policy calls a function once a row'
);
select is_empty(
  $$select o.name from ours o where o.kind in ('r', 'p') and o.schema = 'public' and o.name <> 'alert_page_deliveries'
      and not exists (select from pg_policies p where p.tablename = o.name)$$,
  'every table of public is opened to someone by a policy, but for what is the service role''s alone'
);
select is_empty($$select tablename, policyname from pg_policies where schemaname in ('public', 'relay') and (qual || coalesce(with_check, '')) ~* 'jwt'$$, 'no policy reads a claim itself');

-- Functions.
select is_empty($$select name from our_functions where definer and schema <> 'private'$$, 'only private has functions that run as their owner');
select is_empty(
  $$select name from our_functions where not coalesce(settings, '{}') @> array['search_path=""']$$, 'no function''s search_path can be changed under it'
);
select is_empty(
  $$select name from our_functions f where f.proacl is null
    or exists (select from aclexplode(f.proacl) a where a.grantee = 0 or a.grantee = 'anon'::regrole)$$,
  'no function is for everybody or for anon'
);
select is_empty(
  $$select f.name from our_functions f where f.definer and f.volatility <> 's'
    and f.name like 'private.%\_of\_%()'$$,
  'what a policy calls is stable'
);
select is_empty($$select name from our_functions where prosrc ~* 'execute\s+(format|''|\$)'$$, 'no function builds SQL from text');
select set_eq(
  $$select f.name from our_functions f where has_function_privilege('vigil', f.oid, 'execute')$$,
  array[
    'private.analysis_key_needed(uuid,interval)', 'private.analysis_keys(interval)', 'private.destroy_analysis_device(uuid,interval)',
    'private.retire_analysis_device(uuid)', 'private.retire_epochs_of_retired_keys(uuid,integer)', 'private.scores_due(integer)', 'private.admit_device(uuid,uuid)', 'private.devices_to_admit(integer)', 'private.refuse_device(uuid,text)',
    'private.refuse_score(uuid,text,text)', 'private.settle_score(uuid,text,text,boolean)',
    'private.crisis_grants_due(integer)', 'private.grant_crisis_access(uuid,jsonb)',
    'private.live_logins(uuid[])', 'private.login_is_live()', 'private.permissions_of(text[],text[])',
    'private.policy_fingerprint()', 'private.record_suggestion(jsonb,jsonb)',
    'private.register_analysis_device(uuid,text,text)', 'private.register_analysis_device(uuid,text,text,uuid,text)', 'private.transactions_are_visible(bigint[])', 'private.unscored_messages(interval,integer)'
  ],
  'the sidecar may call these, and no other'
);
select set_eq(
  $$select f.name from our_functions f where f.schema = 'public' and has_function_privilege('authenticated', f.oid, 'execute')$$,
  array[
    'acknowledge_alert(uuid,integer)', 'change_session_mode(uuid,text)', 'create_epoch(uuid,integer,uuid,jsonb,text,text,text,uuid,jsonb)',
    'create_session(uuid,uuid,text,timestamp with time zone)', 'decide_suggestion(uuid,text,integer,uuid)', 'end_session(uuid)',
    'pause_session(uuid)', 'report_refusal(uuid,text,text,text)', 'request_erasure(uuid,uuid)', 'request_suggestion(uuid)', 'remove_recovery()', 'reset_devices(uuid)', 'resolve_alert(uuid,integer)', 'resume_session(uuid)', 'rewrap_recovery(jsonb)',
    'restore_epochs(uuid,jsonb)', 'set_recovery(jsonb,jsonb,jsonb)', 'share_epochs(uuid,uuid,jsonb)', 'start_session(uuid)',
    'withdraw_consent(uuid,text)'
  ],
  'the API''s verbs'
);
select set_eq(
  $$select name from our_functions f where has_function_privilege('service_role', f.oid, 'execute')$$,
  array[
    'erase_person(uuid,uuid)', 'erase_session(uuid)', 'objects_of_erasure(uuid)', 'settle_erasure(uuid,integer)',
    'private.erase_person(uuid,uuid)', 'private.erase_session(uuid)', 'private.objects_of(uuid)', 'private.settle_erasure(uuid,integer)'
  ],
  'the service role erases, and calls nothing else'
);

-- The sidecar's role.
select results_eq(
  $$select rolcanlogin, rolinherit, rolbypassrls, rolsuper, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = 'vigil'$$,
  'values (true, false, false, false, false, false, false)', 'vigil signs in, inherits nothing, and is under every policy'
);
select set_eq(
  $$select m.roleid::regrole::text from pg_auth_members m where m.member = 'vigil'::regrole$$, array['authenticated'], 'vigil may become authenticated, and nobody else'
);
select ok(not pg_has_role('vigil', 'authenticated', 'usage'), 'and has nothing of authenticated''s until it does');
select is_empty(
  $$select o.name from ours o where o.kind in ('r', 'p') and has_table_privilege('vigil', o.oid, 'delete')$$, 'vigil deletes nothing'
);
select set_eq(
  $$select o.name from ours o where o.kind in ('r', 'p') and has_any_column_privilege('vigil', o.oid, 'insert')$$,
  array['assessments', 'alerts', 'alert_recipients', 'alert_events', 'sidecar_state'], 'vigil inserts into these'
);
select set_eq(
  $$select o.name, a.attname from ours o join pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
    where o.kind in ('r', 'p') and o.name <> 'sidecar_state' and has_column_privilege('vigil', o.oid, a.attnum, 'update')$$,
  $$values ('assessments'::name, 'superseded_at'::name), ('session_progress', 'assessed_position'), ('session_progress', 'state'),
    ('session_progress', 'state_version'), ('session_progress', 'updated_at'), ('session_progress', 'topics'), ('alert_pages', 'status'), ('alert_pages', 'attempts'),
    ('alert_pages', 'next_attempt_at'), ('alert_pages', 'last_error'), ('alert_pages', 'sent_at')$$,
  'vigil updates these columns'
);
select is_empty(
  $$select n.nspname from pg_namespace n where has_schema_privilege('vigil', n.oid, 'create') and n.nspname !~ '^pg_temp'$$, 'vigil makes nothing'
);

-- Publications.
select results_eq(
  $$select pubname, pubinsert, pubupdate, pubdelete, pubtruncate from pg_publication where pubname like 'vigil%' order by pubname$$,
  $$values ('vigil_messages'::name, true, false, false, false), ('vigil_rows', true, true, true, true)$$, 'two publications'
);
select set_eq(
  $$select tablename from pg_publication_tables where pubname = 'vigil_rows'$$,
  array[
    'organizations', 'memberships', 'crisis_policies', 'sessions', 'session_participants', 'session_consents', 'devices', 'session_epochs',
    'message_arrivals', 'assessments', 'alerts', 'alert_recipients', 'alert_events', 'oncall_shifts', 'ended_logins',
    'suggestions', 'suggestion_seals', 'device_signatures', 'epoch_readers', 'message_scores', 'erasures'
  ],
  'the rows on the stream'
);
select set_eq(
  $$select tablename, unnest(attnames) from pg_publication_tables where pubname = 'vigil_messages'$$,
  $$select 'messages'::name, unnest(array['id', 'session_id', 'organization_id', 'sender_id', 'sender_device_id', 'epoch', 'seq', 'position',
    'previous_assisted_position', 'assisted', 'body', 'created_at'])::name$$,
  'the messages on the stream'
);
select is(rowfilter, 'assisted', 'strict messages never enter the stream') from pg_publication_tables where pubname = 'vigil_messages';
select is_empty(
  $$select tablename, a from pg_publication_tables, unnest(attnames) a where pubname like 'vigil%' and a in ('name', 'label', 'display_name', 'wrap', 'state')$$,
  'no name, no label and no wrap enters the stream'
);
select is_empty(
  $$select c.relname from pg_publication_tables t join pg_class c on c.relname = t.tablename and c.relnamespace = 'public'::regnamespace
    where t.pubname = 'vigil_rows' and c.relreplident = 'd'
      and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)$$,
  'every row on the stream that can be deleted says which it was'
);
-- A delete carries the replica identity only: it must name the row's topics, and whose access ended.
select is_empty(
  $$select w.name, c from (values
      ('message_arrivals', '{session_id}'), ('sessions', '{id,organization_id}'), ('session_participants', '{session_id,user_id}'),
      ('session_consents', '{session_id,id}'), ('session_epochs', '{session_id}'), ('epoch_readers', '{session_id,epoch,device_id}'), ('message_scores', '{session_id,message_id,side,signature}'), ('assessments', '{session_id,organization_id,id}'),
      ('alerts', '{session_id,organization_id,id}'), ('alert_events', '{session_id,organization_id,id}'),
      ('alert_recipients', '{session_id,user_id,alert_id}'), ('memberships', '{organization_id,user_id}'), ('oncall_shifts', '{organization_id,user_id}'),
      ('suggestions', '{session_id,organization_id,id}'), ('suggestion_seals', '{session_id,suggestion_id,device_id}')
    ) as w (name, columns), unnest(w.columns::name[]) c
    where not exists (
      select from pg_class t
      join pg_index i on i.indrelid = t.oid and (i.indisreplident or t.relreplident = 'd' and i.indisprimary)
      join pg_attribute a on a.attrelid = t.oid and a.attnum = any (i.indkey)
      where t.oid = format('public.%I', w.name)::regclass and a.attname = c
    )$$,
  'a deleted row says on which topics it was'
);
select is_empty(
  $$select t.tablename, a.attname from pg_publication_tables t
    join pg_class c on c.relname = t.tablename and c.relnamespace = 'public'::regnamespace
    join pg_index i on i.indrelid = c.oid and i.indisreplident
    join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
    where t.pubname = 'vigil_rows' and a.attname <> all (t.attnames)$$,
  'and can be changed: what names it is on the stream'
);

select * from finish();
rollback;
