import { fields, text } from './parse.ts'
import { answer, byIds, rows, type Supabase } from './rest.ts'
import { parseMembership, parseOrganization, parsePolicy, type CrisisPolicy, type Membership, type Organization, type Suggesting } from './rows.ts'

/** The caller's own live memberships; also of organisations that show nothing without the second factor. */
export async function readMemberships(supabase: Supabase, userId: string): Promise<readonly Membership[]> {
  const request = supabase.from('memberships').select('organization_id,user_id,role,ended_at').eq('user_id', userId)
  return (await rows('read your memberships', request, parseMembership)).filter((one) => one.endedAt === null)
}

/** Who belongs to an organisation: for its staff. */
export async function readMembers(supabase: Supabase, organizationId: string): Promise<readonly Membership[]> {
  const request = supabase.from('memberships').select('organization_id,user_id,role,ended_at').eq('organization_id', organizationId)
  return (await rows('read the members', request, parseMembership)).filter((one) => one.endedAt === null)
}

/** Organisations that show themselves to the caller. */
export function readOrganizations(supabase: Supabase): Promise<readonly Organization[]> {
  return rows('read your practices', supabase.from('organizations').select('id,name,suggestions,require_aal2'), parseOrganization)
}

/** Names by user id. Who has none is not in it. */
export async function readNames(supabase: Supabase, userIds: Iterable<string>): Promise<ReadonlyMap<string, string>> {
  const found = await byIds(userIds, (some) =>
    rows('read names', supabase.from('profiles').select('user_id,display_name').in('user_id', some), (value) => {
      const row = fields(value, 'profile')
      return [text(row, 'user_id'), text(row, 'display_name')] as const
    }),
  )
  return new Map(found)
}

export async function readPolicy(supabase: Supabase, organizationId: string): Promise<CrisisPolicy | undefined> {
  const request = supabase.from('crisis_policies').select('organization_id,page_at_level,review_at_level').eq('organization_id', organizationId)
  return (await rows('read the crisis policy', request, parsePolicy))[0]
}

export async function setPolicy(supabase: Supabase, policy: CrisisPolicy): Promise<void> {
  const request = supabase
    .from('crisis_policies')
    .update({ page_at_level: policy.pageAtLevel, review_at_level: policy.reviewAtLevel })
    .eq('organization_id', policy.organizationId)
  await answer('change the crisis policy', request)
}

export async function setOrganization(
  supabase: Supabase,
  organizationId: string,
  change: { readonly suggestions?: Suggesting; readonly require_aal2?: boolean },
): Promise<void> {
  await answer('change the practice', supabase.from('organizations').update({ ...change }).eq('id', organizationId))
}
