-- Opens 20260101003300_relay.sql. Every function named here sees nothing for an ended login.

drop policy if exists "participants and clinicians follow their session" on relay.permissions;
create policy "participants and clinicians follow their session"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'session'
    and (extension, action) in (('broadcast', 'receive'), ('presence', 'receive'), ('presence', 'send'))
    and (select relay.topic_id()) in (select private.sessions_of_caller())
    and (select private.login_is_live())
  );

drop policy if exists "participants broadcast to their session" on relay.permissions;
create policy "participants broadcast to their session"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'session'
    and (extension, action) = ('broadcast', 'send')
    and (select relay.topic_id()) in (select private.sessions_of_participant())
    and (select private.login_is_live())
  );

drop policy if exists "clinicians follow the care of their sessions" on relay.permissions;
create policy "clinicians follow the care of their sessions"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'care'
    and (extension, action) in (('broadcast', 'receive'), ('presence', 'receive'), ('presence', 'send'))
    and (select relay.topic_id()) in (select private.sessions_of_clinician())
    and (select private.login_is_live())
  );

drop policy if exists "people follow their own inbox" on relay.permissions;
create policy "people follow their own inbox"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'inbox'
    and (extension, action) = ('broadcast', 'receive')
    and (select relay.topic_id()) in (select private.inboxes_of_caller())
    and (select private.login_is_live())
  );

drop policy if exists "supervisors follow their organisation" on relay.permissions;
create policy "supervisors follow their organisation"
  on relay.permissions for select to authenticated
  using (
    (select relay.topic_kind()) = 'org'
    and (extension, action) = ('broadcast', 'receive')
    and (select relay.topic_id()) in (select private.organizations_of_supervisor())
    and (select private.login_is_live())
  );
