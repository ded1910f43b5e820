-- Whether transactions that the log names are visible to the caller's snapshot: what the sidecar reads after a revocation must be at
-- least as new. The log's ids have 32 bits: each is widened towards the side of the snapshot's bound that is nearer, and so one that is
-- older than half the range counts as visible. Stable, for it must look at the statement's own snapshot.

create or replace function private.transactions_are_visible(xids bigint[])
returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
  snapshot constant pg_snapshot := pg_current_snapshot();
  bound constant numeric := pg_snapshot_xmax(snapshot)::text::numeric;
begin
  return coalesce((
    select bool_and(wide.xid < 3 or pg_visible_in_snapshot(wide.xid::text::xid8, snapshot))
    from (select x.id + 4294967296 * round((bound - x.id) / 4294967296) from unnest(xids) as x (id)) as wide (xid)
  ), true);
end
$$;
revoke all on function private.transactions_are_visible(bigint[]) from public;
grant execute on function private.transactions_are_visible(bigint[]) to authenticated, vigil;
