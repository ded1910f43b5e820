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
