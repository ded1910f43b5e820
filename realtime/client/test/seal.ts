/** The sidecar's part of a suggestion, for tests: only it seals them. */
import { concat, decodeSized, encodeText, PointBytes, utf8 } from '../src/bytes.ts'
import { hpke, importEncPub, sign, type Device } from '../src/device.ts'
import { suggestionInfo, suggestionSigned } from '../src/suggestion.ts'
import type { SuggestionSealRow } from '../src/rows.ts'

export interface SealPlace {
  readonly suggestion_id: string
  readonly session_id: string
  readonly message_id: string
}

export async function seal(by: Device, to: Pick<Device, 'kid' | 'encPub'>, place: SealPlace, text: string): Promise<Omit<SuggestionSealRow, 'user_id'>> {
  const row = { ...place, device_id: to.kid }
  const key = await importEncPub(decodeSized('enc_pub', to.encPub, PointBytes))
  const { encapsulatedSecret, ciphertext } = await hpke.Seal(key, utf8(text), { info: suggestionInfo(row) })
  const sealed = concat(encapsulatedSecret, ciphertext)
  return { ...row, sealed: encodeText(sealed), signature: encodeText(await sign(by, await suggestionSigned(row, sealed))) }
}
