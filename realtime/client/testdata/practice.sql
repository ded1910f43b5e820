-- What an operator does in SQL, for the client's own test against the stand-in: a practice with one therapist and one client,
-- and the sidecar's key. Only a throwaway database ever runs this.
create function public.test_practice(therapist uuid, client uuid, analysis_id uuid, enc_pub text, sig_pub text)
returns uuid
language plpgsql security definer
set search_path = ''
as $$
declare
  organization uuid;
begin
  insert into public.organizations (name, require_aal2) values ('Practice Nobody', false) returning id into organization;
  insert into public.memberships (organization_id, user_id, role)
  values (organization, therapist, 'therapist'), (organization, client, 'client');
  perform private.register_analysis_device(analysis_id, enc_pub, sig_pub);
  return organization;
end
$$;
revoke all on function public.test_practice(uuid, uuid, uuid, text, text) from public, anon, authenticated;
grant execute on function public.test_practice(uuid, uuid, uuid, text, text) to service_role;

-- What the sidecar calls, for who plays it.
create function public.test_record(suggestion jsonb, seals jsonb)
returns text
language sql security definer
set search_path = ''
as $$ select private.record_suggestion(suggestion, seals) $$;
revoke all on function public.test_record(jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.test_record(jsonb, jsonb) to service_role;

create function public.test_devices_to_admit()
returns jsonb
language sql security definer
set search_path = ''
as $$ select coalesce(jsonb_agg(d), '[]') from private.devices_to_admit(100) d $$;
revoke all on function public.test_devices_to_admit() from public, anon, authenticated;
grant execute on function public.test_devices_to_admit() to service_role;

create function public.test_admit_device(device uuid, by_device uuid)
returns boolean
language sql security definer
set search_path = ''
as $$ select private.admit_device(device, by_device) $$;
revoke all on function public.test_admit_device(uuid, uuid) from public, anon, authenticated;
grant execute on function public.test_admit_device(uuid, uuid) to service_role;

create function public.test_refuse_device(signature_id uuid, reason text)
returns void
language sql security definer
set search_path = ''
as $$ select private.refuse_device(signature_id, reason) $$;
revoke all on function public.test_refuse_device(uuid, text) from public, anon, authenticated;
grant execute on function public.test_refuse_device(uuid, text) to service_role;

-- A day passes for a session's epochs.
create function public.test_age(session uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  alter table public.session_epochs disable trigger an_epoch_stands;
  update public.session_epochs e set created_at = e.created_at - interval '25 hours' where e.session_id = session;
  alter table public.session_epochs enable trigger an_epoch_stands;
end
$$;
revoke all on function public.test_age(uuid) from public, anon, authenticated;
grant execute on function public.test_age(uuid) to service_role;

-- What was reported of a session, as the audit log has it.
create function public.test_refusals(session uuid)
returns setof text
language sql security definer
set search_path = ''
as $$
  select a.subject_table || ' ' || (a.details ->> 'reason') from public.audit_log a
  where a.action = 'refuse' and a.details ->> 'session_id' = session::text order by a.seq
$$;
revoke all on function public.test_refusals(uuid) from public, anon, authenticated;
grant execute on function public.test_refusals(uuid) to service_role;
