-- Losing access: what one plain update by an operator or admin brings about.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

create function tests.min_epochs() returns text language sql stable as $$
  select string_agg(s.min_epoch::text, ' ' order by array_position(array[tests.session('strict'), tests.session('assisted'), tests.session('theirs')], s.id))
  from public.sessions s
$$;
insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at) values
  (tests.organization('alder'), tests.id('theo'), '2020-01-01', '2020-01-02'),
  (tests.organization('alder'), tests.id('theo'), '2020-01-03', '2100-01-01'),
  (tests.organization('alder'), tests.id('olive'), '2020-01-03', '2100-01-01');
select tests.act('theo', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted')));
select is(tests.min_epochs(), '1 1 1', 'before');
savepoint before_it;

-- A membership ends.
select tests.act('ada', 'update public.memberships set ended_at = now() where user_id = tests.id(''theo'')');
select is(tests.min_epochs(), '2 2 1', 'a membership''s end retires the epochs of that person''s sessions');
select results_eq(
  'select status, version from public.alerts where id = tests.alert(''assisted'')', $$values ('open', 3)$$, 'and opens the alerts they had acknowledged'
);
select results_eq(
  'select kind, version, actor_id from public.alert_events where alert_id = tests.alert(''assisted'') order by version',
  format($$values ('raised', 1, null::uuid), ('acknowledged', 2, %L), ('reopened', 3, %L)$$, tests.id('theo'), tests.id('ada')), 'by an event that says who did it'
);
select results_eq(
  'select user_id, flagged_at is not null from public.oncall_shifts order by starts_at, user_id = tests.id(''olive'')',
  format('values (%1$L::uuid, false), (%1$L, true), (%2$L, false)', tests.id('theo'), tests.id('olive')), 'and flags their shifts that are not over'
);
select is(tests.attempt('theo', 'select from public.sessions'), '0', 'they see no session');
select is(tests.attempt('theo', tests.message_command('theo', tests.session('strict'), 3)), '42501', 'they send nothing');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('strict'), 3)), 'VG010', 'nobody sends under the old epoch');
select tests.act('clio', tests.epoch_command('clio', tests.session('strict')));
select is(
  (select jsonb_agg(m ->> 'kid') from public.session_epochs e, jsonb_array_elements(e.roster) m where e.session_id = tests.session('strict') and e.epoch = 2),
  jsonb_build_array(tests.device('clio')), 'the next epoch is without them'
);
select is(tests.attempt('clio', tests.message_command('clio', tests.session('strict'), 3)), '1', 'and is used');
select tests.act('ada', 'update public.memberships set ended_at = null where user_id = tests.id(''theo'')');
select is(tests.attempt('theo', 'select from public.sessions'), '2', 'taken back in, they see their sessions again');
select is(tests.attempt('theo', tests.message_command('theo', tests.session('strict'), 3)), 'VG010', 'but need a new epoch to send');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('strict'), 3)), 'VG010', 'and so does everybody: the last one leaves them out');
rollback to before_it;

-- A role changes.
select tests.act('ada', 'update public.memberships set role = ''admin'' where user_id = tests.id(''theo'')');
select is(tests.min_epochs(), '2 2 1', 'another role is another access');
select is(status, 'open', 'and alerts are open again') from public.alerts where id = tests.alert('assisted');
rollback to before_it;

-- A membership is only dated, or begins: nothing is lost.
update public.memberships set started_at = '2020-01-01' where user_id = tests.id('theo');
select is(tests.min_epochs(), '1 1 1', 'no access lost, no epoch retired');
rollback to before_it;

-- A participant leaves, or is removed.
update public.session_participants set ended_at = now() where session_id = tests.session('strict') and user_id = tests.id('theo');
select is(tests.min_epochs(), '2 1 1', 'a participant''s end retires that session''s epochs');
select is(tests.attempt('theo', 'select from public.sessions'), '1', 'they see it no more');
rollback to before_it;
delete from public.session_participants where session_id = tests.session('strict') and user_id = tests.id('theo');
select is(tests.min_epochs(), '2 1 1', 'and so does a participant''s removal');
insert into public.session_participants (session_id, user_id, organization_id, role)
values (tests.session('strict'), tests.id('theo'), tests.organization('alder'), 'therapist');
select tests.act('clio', tests.epoch_command('clio', tests.session('strict')));
update public.session_participants set ended_at = now() where session_id = tests.session('strict') and user_id = tests.id('theo');
select tests.act('clio', tests.epoch_command('clio', tests.session('strict')));
update public.session_participants set ended_at = null where session_id = tests.session('strict') and user_id = tests.id('theo');
select is(tests.min_epochs(), '4 1 1', 'whoever takes part again needs a new one');
rollback to before_it;

-- A device is revoked.
select tests.act('clio', 'update public.devices set revoked_at = now() where id = tests.device(''clio'')');
select is(tests.min_epochs(), '2 2 1', 'a revoked device retires the epochs it holds');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('strict'), 3)), 'VG011', 'and sends nothing');
rollback to before_it;
update public.devices set revoked_at = now() where kind = 'analysis';
select is(tests.min_epochs(), '1 2 2', 'the analysis device holds assisted epochs only');
rollback to before_it;
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('new')::uuid, tests.id('clio'), tests.key('new'), tests.key('new'));
select is(tests.min_epochs(), '1 1 1', 'a device that waits retires nothing');
select tests.admit(md5('new')::uuid);
select is(tests.min_epochs(), '2 2 1', 'once admitted, it is to hold the next epoch');
rollback to before_it;

-- Consent is withdrawn.
select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$);
select is(tests.min_epochs(), '1 2 1', 'withdrawing consent retires that session''s epochs');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 3)), 'VG010', 'nothing more is sent that the sidecar could open');
rollback to before_it;

-- Retired twice without an epoch between: min_epoch is the next epoch, not beyond it.
update public.session_participants set ended_at = now() where session_id = tests.session('strict') and user_id = tests.id('theo');
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.min_epochs(), '2 2 1', 'min_epoch is never beyond the next epoch');
rollback to before_it;

-- A login ends: the token is worth nothing, in tables and on topics.
select is(tests.attempt('theo', 'select from public.sessions'), '2', 'signed in');
delete from auth.sessions where id = tests.login('theo');
select is(tests.attempt('theo', 'select from public.sessions'), '0', 'signed out: no session');
select is(tests.attempt('theo', 'select from public.memberships'), '0', 'signed out: no membership');
select is(tests.attempt('theo', 'select id from public.devices'), '0', 'signed out: no device, not even the sidecar''s');
select is(tests.attempt('theo', tests.message_command('theo', tests.session('strict'), 3)), '42501', 'signed out: no message');
select is(tests.attempt('theo', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted'))), 'PT404', 'signed out: no acknowledgement');
rollback to before_it;
update auth.sessions set not_after = now() - interval '1 second' where id = tests.login('theo');
select is(tests.attempt('theo', 'select from public.sessions'), '0', 'a login past its end is ended');

select * from finish();
rollback;
