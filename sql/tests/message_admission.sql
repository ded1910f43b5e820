-- private.admit_message: every reason for which a message is refused, then what the database sets on one that is not.
begin;
\ir fixtures/people.sql
select no_plan();

-- Refused.
select * from tests.matrix(array[
  array['bram', tests.message_command('bram', tests.session('assisted'), 1), '42501'],
  array['olive', tests.message_command('olive', tests.session('assisted'), 1), '42501'],
  array['sunny', tests.message_command('sunny', tests.session('assisted'), 1), '42501'],
  array['theo at aal1', tests.message_command('theo', tests.session('assisted'), 1), '42501'],
  array['clio', tests.message_command('clio', gen_random_uuid(), 1, 1), '42501'],
  array['vigil', tests.message_command('clio', tests.session('assisted'), 1), '42501'],
  array['service_role', tests.message_command('clio', tests.session('assisted'), 1), '42501'],
  array['postgres', tests.message_command('clio', tests.session('assisted'), 1), '42501'],
  array['clio', tests.message_command('theo', tests.session('assisted'), 1), 'VG011'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 1, 2), 'VG010'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 1, 0), 'VG010'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 0, 1, gen_random_uuid()), '23505'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 1, 1, tests.message('clio', tests.session('assisted'), 0)), '23505'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 1, 1, tests.message('clio', tests.session('strict'), 0)), '23505'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 0) || ' on conflict do nothing', '23505'],
  array['clio', tests.message_command('clio', tests.session('assisted'), 0) || ' on conflict (id) do update set body = excluded.body', '42501'],
  array['clio', tests.message_command('clio', tests.session('assisted'), -1), '23514']
]);
select is(
  tests.attempt('clio', format($$insert into public.messages (id, session_id, sender_device_id, epoch, seq, body)
    values (gen_random_uuid(), %L, %L, 1, 1, %L)$$, tests.session('assisted'), tests.device('clio'), body)),
  '23514', what
)
from (values
  ('', 'an empty body is refused'),
  ('plain words, which nobody sealed, are refused even when they are long enough to be a sealed body: ' || repeat('word ', 20), 'plain words are refused'),
  ('AQ' || tests.bytes('short', 120), 'a body too short to be signed is refused'),
  ('AA' || tests.bytes('other', 200), 'another format version is refused'),
  ('AQ' || repeat('A', 65535), 'a body over 64 KiB is refused')
) as b (body, what);

select tests.act('theo', format('select public.pause_session(%L)', tests.session('assisted')));
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 1)), 'VG002', 'nothing is sent while paused');
select is(
  tests.detail('clio', tests.message_command('clio', tests.session('assisted'), 1)), '{"status": "paused"}', 'and the status is told'
);
select tests.act('theo', format('select public.resume_session(%L)', tests.session('assisted')));

-- A device that came after the epoch is not on its roster.
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('second')::uuid, tests.id('clio'), tests.key('e2'), tests.key('s2'));
savepoint before_admission;
select is(
  tests.attempt('clio', replace(tests.message_command('clio', tests.session('assisted'), 1), tests.device('clio')::text, md5('second')::uuid::text)),
  'VG025', 'a device that waits for another is refused'
);
alter table public.devices disable trigger admitting_a_device_retires_epochs;
select tests.admit(md5('second')::uuid);
select is(
  tests.attempt('clio', replace(tests.message_command('clio', tests.session('assisted'), 1), tests.device('clio')::text, md5('second')::uuid::text)),
  'VG012', 'a device that is not on the roster is refused'
);
rollback to before_admission;
delete from public.devices where id = md5('second')::uuid;

select is(
  tests.detail('clio', tests.message_command('clio', tests.session('assisted'), 1, 9)), '{"min_epoch": 1, "next_epoch": 2}',
  'who used a wrong epoch is told which to use'
);

-- Wraps erased: the epoch is no longer complete.
savepoint before_erasure;
delete from public.epoch_wraps where session_id = tests.session('assisted') and device_id = tests.device('theo');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 1)), 'VG008', 'an epoch without all its wraps is refused');
rollback to before_erasure;

-- Nothing refused has moved a position.
select is(last_position, 1::bigint, 'what was refused took no position') from public.session_counters where session_id = tests.session('assisted');

-- Accepted.
select tests.act('theo', tests.message_command('theo', tests.session('assisted'), 0));
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 1));
select results_eq(
  format('select position, previous_assisted_position, sender_id from public.messages where session_id = %L order by position', tests.session('assisted')),
  format($$values (1::bigint, 0::bigint, %1$L::uuid), (2, 1, %2$L), (3, 2, %1$L)$$, tests.id('clio'), tests.id('theo')),
  'positions are dense, and each assisted message names the one before it'
);
select is(count(*), 0::bigint, 'an assisted message has no arrival') from public.message_arrivals where session_id = tests.session('assisted');
select tests.act('theo', tests.message_command('theo', tests.session('strict'), 0));
select results_eq(
  format('select message_id, position, sender_id, sender_device_id, seq from public.message_arrivals where session_id = %L order by position', tests.session('strict')),
  format('select id, position, sender_id, sender_device_id, seq from public.messages where session_id = %L order by position', tests.session('strict')),
  'a strict message has an arrival'
);
select is(previous_assisted_position, null, 'a strict message names no assisted one') from public.messages where session_id = tests.session('strict');

-- Several rows in one statement.
select tests.act('clio', format(
  'insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) select gen_random_uuid(), %L, %L, 1, g, %L from generate_series(10, 19) g',
  tests.session('assisted'), tests.device('clio'), tests.body('many')
));
select is(count(*), 10::bigint, 'ten rows of one statement have ten positions') from public.messages
where session_id = tests.session('assisted') and position between 4 and 13 and previous_assisted_position = position - 1;

-- The mode changes between two assisted messages: positions stay dense, assisted ones are linked.
select tests.act('theo', format('select public.change_session_mode(%L, ''strict'')', tests.session('assisted')));
select is(
  tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 30, 1)), 'VG010', 'a change of mode retires the epoch'
);
select tests.act('clio', tests.epoch_command('clio', tests.session('assisted')));
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 0 + 31));
select tests.act('theo', format('select public.change_session_mode(%L, ''assisted'')', tests.session('assisted')));
select tests.act('clio', tests.epoch_command('clio', tests.session('assisted'), md5('consent assisted')::uuid));
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 32));
select results_eq(
  format('select position, assisted, previous_assisted_position from public.messages where session_id = %L and position > 13 order by 1', tests.session('assisted')),
  'values (14::bigint, false, null::bigint), (15, true, 13)',
  'an assisted message names the last assisted one, across strict ones'
);
select results_eq(
  format('select last_position, last_assisted_position from public.session_counters where session_id = %L', tests.session('assisted')),
  'values (15::bigint, 15::bigint)', 'and the counters agree'
);

select * from finish();
rollback;
