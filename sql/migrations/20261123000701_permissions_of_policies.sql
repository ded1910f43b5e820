-- The channel's policies of 20260101003301_relay_policies.sql, put as a question about one topic instead of a list of all that a
-- person follows: what a join costs no longer grows with what a clinician has. None of the functions grants an ended login anything.

drop policy if exists "participants and clinicians follow their session" on relay.permissions;
drop policy if exists "participants broadcast to their session" on relay.permissions;
drop policy if exists "participants take part in their session" on relay.permissions;
create policy "participants take part in their session"
  on relay.permissions for select to authenticated
  using ((select relay.topic_kind()) = 'session' and (select private.participation(relay.topic_id())) is not null);

drop policy if exists "clinicians follow their sessions" on relay.permissions;
create policy "clinicians follow their sessions"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'session'
    and (extension, action) in (('broadcast', 'receive'), ('presence', 'receive'), ('presence', 'send'))
    and (select private.attends(relay.topic_id()))
  );

drop policy if exists "clinicians follow the care of their sessions" on relay.permissions;
create policy "clinicians follow the care of their sessions"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'care'
    and (extension, action) in (('broadcast', 'receive'), ('presence', 'receive'), ('presence', 'send'))
    and (select private.attends(relay.topic_id()))
  );

drop policy if exists "people follow their own inbox" on relay.permissions;
create policy "people follow their own inbox"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'inbox'
    and (extension, action) = ('broadcast', 'receive')
    and (select relay.topic_id()) in (select private.inboxes_of_caller())
  );

drop policy if exists "supervisors follow their organisation" on relay.permissions;
create policy "supervisors follow their organisation"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'org'
    and (extension, action) = ('broadcast', 'receive')
    and (select relay.topic_id()) in (select private.organizations_of_supervisor())
  );
