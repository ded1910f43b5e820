-- The sidecar looks for requests that nobody has answered every few seconds; offers that nobody decides about only grow in number.

create index if not exists suggestions_requested_idx on public.suggestions (created_at, id) where status = 'requested';
