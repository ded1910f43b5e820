-- scheduled → active ⇄ paused → ended: who may move a session, and what is refused on the way.
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.create_command(client text, mode text) returns text language sql stable as $$
  select format('select public.create_session(%L, %L, %L)', tests.organization('alder'), tests.id(client), mode)
$$;

-- create_session: refusals first.
select * from tests.matrix(array[
  array['anon', tests.create_command('clio', 'strict'), '42501'],
  array['nobody', tests.create_command('clio', 'strict'), '42501'],
  array['clio', tests.create_command('clio', 'strict'), '42501'],
  array['ada', tests.create_command('clio', 'strict'), '42501'],
  array['bram', tests.create_command('clio', 'strict'), '42501'],
  array['vigil', tests.create_command('clio', 'strict'), '42501'],
  array['service_role', tests.create_command('clio', 'strict'), '42501'],
  array['theo at aal1', tests.create_command('clio', 'strict'), '42501'],
  array['theo', tests.create_command('brook', 'strict'), 'VG016'],
  array['theo', tests.create_command('nobody', 'strict'), 'VG016'],
  array['theo', tests.create_command('olive', 'strict'), 'VG016'],
  array['theo', tests.create_command('clio', 'watched'), '23514'],
  array['theo', tests.create_command('clio', null), '23514'],
  array['theo', tests.create_command('clio', 'strict'), '1'],
  array['sunny', tests.create_command('clio', 'assisted'), '1']
]);

create function tests.made() returns uuid language sql stable as $$
  select s.id from public.sessions s where s.created_by = tests.id('theo')
$$;
select tests.act('theo', tests.create_command('clio', 'strict'));
select results_eq(
  'select status, mode, min_epoch, organization_id from public.sessions where id = tests.made()',
  format('values (''scheduled'', ''strict'', 1, %L::uuid)', tests.organization('alder')), 'a new session is scheduled'
);
select set_eq(
  'select user_id, role from public.session_participants where session_id = tests.made()',
  format('values (%L::uuid, ''therapist''), (%L, ''client'')', tests.id('theo'), tests.id('clio')), 'with its two participants'
);
select is(count(*), 1::bigint, 'its counter') from public.session_counters where session_id = tests.made();
select is(count(*), 1::bigint, 'and its progress') from public.session_progress where session_id = tests.made();

-- Who may move it.
select is(tests.attempt(who, format('select public.%s(%L)', verb, tests.made())), code, format('%s may not: %s', who, verb))
from (values ('anon', '42501'), ('nobody', 'PT404'), ('bram', 'PT404'), ('olive', 'PT404'), ('ada', 'PT404'), ('theo at aal1', 'PT404'),
  ('clio', '42501'), ('vigil', '42501'), ('service_role', '42501')) as p (who, code),
  unnest(array['start_session', 'pause_session', 'resume_session', 'end_session']) as v (verb);
select is(tests.attempt(who, format('select public.change_session_mode(%L, ''assisted'')', tests.made())), code, format('%s may not: change_session_mode', who))
from (values ('anon', '42501'), ('nobody', 'PT404'), ('clio', '42501'), ('vigil', '42501')) as p (who, code);

-- Start is refused naming whom it waits for.
savepoint devices;
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.attempt('theo', format('select public.start_session(%L)', tests.made())), 'VG001', 'start waits for a client without a device');
select is(
  tests.detail('theo', format('select public.start_session(%L)', tests.made())), jsonb_build_array(tests.id('clio'))::text, 'and names them'
);
update public.devices set revoked_at = now() where id = tests.device('theo');
select is(
  jsonb_array_length(tests.detail('theo', format('select public.start_session(%L)', tests.made()))::jsonb), 2, 'all of them'
);
rollback to devices;

-- Each status × verb.
create function tests.verbs(status text, answers text[]) returns setof text language plpgsql as $$
declare
  verbs constant text[] := array['start_session', 'pause_session', 'resume_session', 'end_session'];
begin
  for i in 1 .. 4 loop
    return next is(tests.attempt('theo', format('select public.%s(%L)', verbs[i], tests.made())), answers[i], format('%s: %s', status, verbs[i]));
  end loop;
end
$$;
select * from tests.verbs('scheduled', array['1', 'VG002', 'VG002', '1']);
select tests.act('theo', format('select public.start_session(%L)', tests.made()));
select isnt(started_at, null, 'a started session says when') from public.sessions where id = tests.made();
select * from tests.verbs('active', array['VG002', '1', 'VG002', '1']);
select tests.act('sunny', format('select public.pause_session(%L)', tests.made()));
select * from tests.verbs('paused', array['VG002', 'VG002', '1', '1']);
select tests.act('theo', format('select public.resume_session(%L)', tests.made()));
select is(status, 'active', 'resumed') from public.sessions where id = tests.made();
select tests.act('theo', format('select public.change_session_mode(%L, ''assisted'')', tests.made()));
select is(mode, 'assisted', 'the mode may change while it runs') from public.sessions where id = tests.made();
select is(
  tests.attempt('theo', format('select public.change_session_mode(%L, ''watched'')', tests.made())), '23514', 'to one of the two modes'
);
select tests.act('theo', format('select public.end_session(%L)', tests.made()));
select isnt(ended_at, null, 'an ended session says when') from public.sessions where id = tests.made();
select * from tests.verbs('ended', array['VG002', 'VG002', 'VG002', 'VG002']);
select is(tests.attempt('theo', format('select public.change_session_mode(%L, ''strict'')', tests.made())), 'VG002', 'an ended session keeps its mode');

-- Operators are held to the same.
select * from tests.matrix(array[
  array['postgres', $$update public.sessions set status = 'active' where id = tests.made()$$, 'VG002'],
  array['postgres', $$update public.sessions set status = 'scheduled' where id = tests.session('strict')$$, 'VG002'],
  array['postgres', $$update public.sessions set min_epoch = 0 where id = tests.session('strict')$$, 'VG002'],
  array['postgres', $$update public.sessions set organization_id = tests.organization('birch') where id = tests.session('strict')$$, 'VG002']
]);

select * from finish();
rollback;
