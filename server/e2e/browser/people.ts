// A practice of people who are invented, and their sessions up to the first word.
import { checked, schedule, sql, type Practice } from '../path/people.ts'
import { password, person, type Person } from '../standin/project.ts'
import { totp } from '../standin/totp.ts'
import { button, composer, consent, fillSignIn, heading, openSession, prove, visible } from './screens.ts'
import type { Seat, Seats } from './seats.ts'

export { crisis, schedule, sql } from '../path/people.ts'
export { password } from '../standin/project.ts'

// Somebody who has an authenticator app: at the console they type its code.
export interface Staff extends Person {
  secret: string
}

export interface Clinic extends Practice {
  therapist: Staff
}

async function withAuthenticator(who: Person): Promise<Staff> {
  const factor = checked(await who.client.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'telephone' }))
  checked(await who.client.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret) }))
  return { ...who, secret: factor.totp.secret }
}

export async function join(organization: string, role: 'client' | 'therapist' | 'supervisor' | 'admin', name: string): Promise<Person> {
  const who = await person()
  await sql('insert into public.memberships (organization_id, user_id, role) values ($1, $2, $3)', [organization, who.id, role])
  await sql('insert into public.profiles (user_id, display_name) values ($1, $2)', [who.id, name])
  return who
}

export async function staff(organization: string, role: 'therapist' | 'supervisor' | 'admin', name: string): Promise<Staff> {
  return withAuthenticator(await join(organization, role, name))
}

// A practice with suggestions, one client, and a therapist who has an authenticator.
export async function clinic(): Promise<Clinic> {
  const founder = await person()
  const [founded] = await sql("select private.found_organization('Practice of nobody', $1) as id", [founder.email])
  const organization = String(founded?.['id'])
  await sql("update public.organizations set suggestions = 'elevated' where id = $1", [organization])
  const [client, therapist] = await Promise.all([join(organization, 'client', 'Cleo'), staff(organization, 'therapist', 'Theo')])
  return { organization, client, therapist }
}

export async function signIn(seat: Seat, who: Person | Staff): Promise<void> {
  await fillSignIn(seat, who.email, password)
  if ('secret' in who) {
    await visible(heading(seat, 'Second factor'))
    await prove(seat, who.secret)
  }
  await visible(heading(seat, 'Sessions'))
}

// Two people in a session that runs.
export interface Talk {
  id: string
  clinic: Clinic
  client: Seat
  clinician: Seat
}

// Each at a browser of their own, signed in, with the session before them, started and agreed to.
export async function talk(seats: Seats, of?: Clinic): Promise<Talk> {
  const people = of ?? (await clinic())
  const [{ id }, client, clinician] = await Promise.all([schedule(people, 'assisted'), seats.sit('client', 0), seats.sit('clinician', 1)])
  const enter = async (seat: Seat, who: Person): Promise<void> => {
    await signIn(seat, who)
    await openSession(seat, id)
  }
  await Promise.all([enter(client, people.client), enter(clinician, people.therapist)])
  await button(clinician, 'Start the session').click()
  await consent(client).getByRole('button', { name: 'I agree' }).click()
  await Promise.all([visible(composer(client)), visible(composer(clinician))])
  return { id, clinic: people, client, clinician }
}
