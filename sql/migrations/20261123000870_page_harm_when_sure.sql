-- A danger to others is found from a lower probability than it pages: what is between is for the review list. Rows that ask for
-- nothing get the default; who wants every finding to page sets the column to 0 again.
alter table public.crisis_policies alter column page_least_harm_others set default 0.98;
update public.crisis_policies set page_least_harm_others = 0.98 where page_least_harm_others = 0;
