-- A demo practice: five invented people, one session of each kind. For development only; may run any number of times.
-- Everybody's password is `demo-password`. The practice asks no second factor, so that a first look needs none; a real one does.

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
  confirmation_token, recovery_token, email_change_token_new, email_change, created_at, updated_at
)
select
  '00000000-0000-0000-0000-000000000000', p.id, 'authenticated', 'authenticated', p.email,
  '$2a$10$VgYUjrWTV5.Z6jpD1rVqNuVpo/uUKMck/SimVJdPfA4n6/UUMTB3W', now(),
  '{"provider": "email", "providers": ["email"]}', '{}', '', '', '', '', now(), now()
from (values
  ('d0000000-0000-4000-8000-000000000001'::uuid, 'clio@demo.test'),
  ('d0000000-0000-4000-8000-000000000002'::uuid, 'theo@demo.test'),
  ('d0000000-0000-4000-8000-000000000003'::uuid, 'olive@demo.test'),
  ('d0000000-0000-4000-8000-000000000004'::uuid, 'sunny@demo.test'),
  ('d0000000-0000-4000-8000-000000000005'::uuid, 'ada@demo.test')
) as p (id, email)
on conflict do nothing;

insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select
  u.id::text, u.id, jsonb_build_object('sub', u.id::text, 'email', u.email, 'email_verified', true, 'phone_verified', false),
  'email', now(), now(), now()
from auth.users u
where u.email like '%@demo.test'
on conflict do nothing;

insert into public.organizations (id, name, suggestions, require_aal2)
values ('d0000000-0000-4000-8000-0000000000aa', 'Demo practice (invented)', 'elevated', false)
on conflict do nothing;

insert into public.memberships (organization_id, user_id, role)
values
  ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000001', 'client'),
  ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000002', 'therapist'),
  ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000003', 'therapist'),
  ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000004', 'supervisor'),
  ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000005', 'admin')
on conflict do nothing;

insert into public.profiles (user_id, display_name)
values
  ('d0000000-0000-4000-8000-000000000001', 'Clio (demo client)'),
  ('d0000000-0000-4000-8000-000000000002', 'Theo (demo therapist)'),
  ('d0000000-0000-4000-8000-000000000003', 'Olive (demo therapist, on call)'),
  ('d0000000-0000-4000-8000-000000000004', 'Sunny (demo supervisor)'),
  ('d0000000-0000-4000-8000-000000000005', 'Ada (demo admin)')
on conflict do nothing;

-- Scheduled: a session starts when everybody in it has signed in on a device, which a seed cannot do for them.
insert into public.sessions (id, organization_id, mode, created_by)
values
  ('d0000000-0000-4000-8000-0000000000b1', 'd0000000-0000-4000-8000-0000000000aa', 'assisted', 'd0000000-0000-4000-8000-000000000002'),
  ('d0000000-0000-4000-8000-0000000000b2', 'd0000000-0000-4000-8000-0000000000aa', 'strict', 'd0000000-0000-4000-8000-000000000002')
on conflict do nothing;

insert into public.session_participants (session_id, user_id, organization_id, role)
select s.id, p.user_id, s.organization_id, p.role
from public.sessions s
cross join (values
  ('d0000000-0000-4000-8000-000000000001'::uuid, 'client'),
  ('d0000000-0000-4000-8000-000000000002'::uuid, 'therapist')
) as p (user_id, role)
where s.id in ('d0000000-0000-4000-8000-0000000000b1', 'd0000000-0000-4000-8000-0000000000b2')
on conflict do nothing;

insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
values (
  'd0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000003', '2026-01-01 00:00:00+00', '2036-01-01 00:00:00+00'
)
on conflict do nothing;

-- How to reach the client when an alert's text is not shared. Nobody's number.
insert into public.contact_points (organization_id, user_id, kind, value, note)
values (
  'd0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000001', 'phone', '+00 000 0000000', 'invented, like the person'
)
on conflict do nothing;
