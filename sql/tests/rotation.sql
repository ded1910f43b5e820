-- An epoch ends after 500 messages of all who send, after 24 hours, and when somebody joins. (What ends it when access is lost: revocations.sql.)
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.many(who text, first int, n int, epoch int default 1) returns text language sql stable as $$
  select format(
    'insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) select gen_random_uuid(), %L, %L, %s, g, %L from generate_series(%s, %s) g',
    tests.session('strict'), tests.device(who), epoch, tests.body('many'), first, first + n - 1
  )
$$;
create function tests.min_epoch() returns int language sql stable as $$ select min_epoch from public.sessions where id = tests.session('strict') $$;
create function tests.counted() returns text language sql stable as $$
  select format('%s of epoch %s', epoch_messages, epoch) from public.session_counters where session_id = tests.session('strict')
$$;

select is(private.max_epoch_messages(), 500, '500 messages');
select is(private.max_epoch_age(), interval '24 hours', '24 hours');

-- By count. One was sent by the fixture.
select is(tests.counted(), '1 of epoch 1', 'messages are counted');
select tests.act('clio', tests.many('clio', 1, 300));
select tests.act('theo', tests.many('theo', 1, 198));
select is(tests.counted(), '499 of epoch 1', 'of all who send');
select is(tests.min_epoch(), 1, 'the 499th ends nothing');
select is(tests.attempt('theo', tests.many('theo', 199, 2)), 'VG010', 'a statement that crosses the end is refused whole');
select is(tests.counted(), '499 of epoch 1', 'and counts nothing');
select tests.act('theo', tests.many('theo', 199, 1));
select is(tests.min_epoch(), 2, 'the 500th is stored, and ends the epoch');
select is(last_position, 500::bigint, 'without a hole') from public.session_counters where session_id = tests.session('strict');
select is(tests.attempt('clio', tests.many('clio', 301, 1)), 'VG010', 'the 501st is refused');
select is(tests.detail('clio', tests.many('clio', 301, 1)), '{"min_epoch": 2, "next_epoch": 2}', 'and told which epoch to make');
select tests.act('theo', tests.epoch_command('theo', tests.session('strict')));
select is(tests.detail('clio', tests.many('clio', 301, 1)), '{"min_epoch": 2, "next_epoch": 3}', 'or that it is there');
select tests.act('clio', tests.many('clio', 0, 1, 2));
select is(tests.counted(), '1 of epoch 2', 'the next counts anew');
select is(last_position, 1::bigint, 'another session counts for itself') from public.session_counters where session_id = tests.session('assisted');

-- An earlier epoch that may still be used counts as well: no way round.
create or replace function private.max_epoch_messages() returns int language sql immutable parallel safe set search_path = '' as $$ select 5 $$;
select tests.act('theo', tests.epoch_command('theo', tests.session('strict')));
select tests.act('clio', tests.many('clio', 0, 1, 3));
select tests.act('clio', tests.many('clio', 1, 3, 2));
select is(tests.counted(), '4 of epoch 3', 'messages under the epoch before count');
select tests.act('clio', tests.many('clio', 4, 1, 2));
select is(tests.min_epoch(), 4, 'and end both');

-- By age, whatever the senders' clocks say.
select tests.act('theo', tests.epoch_command('theo', tests.session('strict')));
alter table public.session_epochs disable trigger an_epoch_stands;
update public.session_epochs set created_at = now() - interval '23 hours 59 minutes' where session_id = tests.session('strict') and epoch = 4;
select is(tests.attempt('clio', tests.many('clio', 0, 1, 4)), '1', 'a young epoch is used');
update public.session_epochs set created_at = now() - interval '24 hours 1 minute' where session_id = tests.session('strict') and epoch = 4;
select is(tests.attempt('clio', tests.many('clio', 0, 1, 4)), 'VG010', 'an old one is refused');
select is(tests.detail('clio', tests.many('clio', 0, 1, 4)), '{"min_epoch": 5, "next_epoch": 5}', 'and the sender told to make the next');
select is(tests.min_epoch(), 4, 'though nothing was written');
select tests.act('clio', tests.epoch_command('clio', tests.session('strict')));
select is(tests.attempt('clio', tests.many('clio', 0, 1, 5)), '1', 'which is used');
select is(tests.detail('clio', tests.many('clio', 0, 1, 9)), '{"min_epoch": 5, "next_epoch": 6}', 'what is told never names an old one');

-- By joining.
savepoint before_joining;
insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id('nobody'), 'client');
select is(tests.min_epoch(), 4, 'a member who takes part in nothing ends nothing');
insert into public.session_participants (session_id, user_id, organization_id, role)
values (tests.session('strict'), tests.id('nobody'), tests.organization('alder'), 'client');
select is(tests.min_epoch(), 6, 'somebody who joins ends the epoch that leaves them out');
select is(min_epoch, 1, 'of that session') from public.sessions where id = tests.session('assisted');
rollback to before_joining;
select tests.act('sunny', format('select public.create_session(%L, %L, ''strict'')', tests.organization('alder'), tests.id('clio')));
select is(min_epoch, 1, 'a new session begins with its first epoch') from public.sessions where created_by = tests.id('sunny');

select * from finish();
rollback;
