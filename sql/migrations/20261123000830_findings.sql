-- More of what is found in a message, and what a session has been about. Opened in 20261123000831_findings_policies.sql, published in
-- 20261123000860_publish_findings.sql.

alter table public.assessments
  add column if not exists items text[],
  add column if not exists risk_score real,
  add column if not exists harm_others_score real,
  add column if not exists abuse_score real,
  add column if not exists distress_score real,
  add column if not exists hard text[] not null default '{}',
  add column if not exists emotions text[] not null default '{}',
  add column if not exists language text;

alter table public.assessments
  drop constraint if exists "items are six, each unknown, absent or present",
  drop constraint if exists "scores are probabilities",
  drop constraint if exists "hard names categories",
  drop constraint if exists "a language is its ISO 639 code";
alter table public.assessments
  add constraint "items are six, each unknown, absent or present"
    check (cardinality(items) = 6 and items <@ array['unknown', 'absent', 'present']),
  add constraint "scores are probabilities"
    check (
      risk_score between 0 and 1 and harm_others_score between 0 and 1 and abuse_score between 0 and 1 and distress_score between 0 and 1
    ),
  add constraint "hard names categories" check (hard <@ array['self_harm', 'harm_others', 'abuse', 'distress']),
  add constraint "a language is its ISO 639 code" check (language ~ '^[a-z]{2,3}$');

comment on column public.assessments.items is 'The six items of the C-SSRS screener. Null is unknown, all of them; unknown is not absent.';
comment on column public.assessments.risk_score is 'How probable it is that the writer is at risk of self-harm, as calibrated on the sets of the model card. Not clinically validated.';
comment on column public.assessments.hard is 'Categories that a hard rule forced: a policy''s probabilities do not hold them back, nor do quiet rules, but for self-harm below level 4.';
comment on column public.assessments.topics is 'What the message is about; evidence with rule ids topic.<name> says where.';

alter table public.session_progress add column if not exists topics jsonb;
alter table public.session_progress drop constraint if exists "topics are a list with weights";
alter table public.session_progress
  add constraint "topics are a list with weights" check (jsonb_typeof(topics) = 'array' and jsonb_array_length(topics) <= 12);
comment on column public.session_progress.topics is
  'What the session has been about of late: [{"topic", "weight"}], the heaviest first. A decayed sum over its assessed messages; never text.';
comment on column public.session_progress.state is
  'The detector''s, of the layout state_version: numbers, never text. One of another layout is built anew from the session''s messages.';

grant update (topics) on public.session_progress to vigil;
grant select (session_id, organization_id, topics, updated_at) on public.session_progress to authenticated;
