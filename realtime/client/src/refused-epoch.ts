/** What the database's refusal of a new epoch says. Loaded when it refuses one. */
import { SessionError, type RequestError } from './failure.ts'
import { fields, json, list } from './parse.ts'

/** Learns which devices it wants off the roster, or tells the person what is missing; rejects what neither explains. */
export function learnRefused(error: RequestError, excluded: Set<string>): void {
  switch (error.code) {
    case 'VG004': {
      const difference = fields(json(error.details, 'difference'), 'difference')
      for (const kid of list(difference['not_expected'], 'not_expected')) excluded.add(String(kid))
      for (const kid of list(difference['missing'], 'missing')) excluded.delete(String(kid))
      return
    }
    case 'VG006':
      throw new SessionError('consent_missing', 'a client has yet to consent to the analysis', { cause: error })
    case 'VG002':
      throw new SessionError('not_active', 'the session has ended', { cause: error })
    case 'VG025':
      throw new SessionError('device_waiting', 'this device waits to be approved by another of yours', { cause: error })
    case 'PT409':
    case '23505':
      return
    default:
      throw error
  }
}
