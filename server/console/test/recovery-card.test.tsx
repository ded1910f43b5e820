// @vitest-environment happy-dom
import { Theme } from '@radix-ui/themes'
import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, test, vi } from 'vitest'
import { DeviceState, ResetWords, SessionError, type Vigil } from 'vigil-client'
import type * as Recovery from 'vigil-client/recovery'
import type { ReadyKeys } from '../src/devices/devices-screen.tsx'
import { KeysStore } from '../src/devices/keys-store.ts'
import { RecoveryCard, recoveredWords } from '../src/devices/recovery-card.tsx'

const removeRecovery = vi.hoisted(() => vi.fn<typeof Recovery.removeRecovery>())
vi.mock('vigil-client/recovery', () => ({ removeRecovery, argon2In: () => undefined }))
vi.mock('../src/lib/workers.ts', () => ({ argon2: () => undefined }))
afterEach(() => {
  cleanup()
  removeRecovery.mockReset()
})

const vigil = vi.fn<() => Vigil>()() // what would be asked of it is asked of the mock above
const view = (more: Partial<ReadyKeys> = {}): ReadyKeys => ({
  phase: 'ready', vigil, state: DeviceState.usable, code: '', history: { here: 'whole', recovery: 'set', otherDevices: 0, state: 'safe' }, waiting: [], devices: [], unacknowledged: [], ...more,
})
const show = (more: Partial<ReadyKeys> = {}): void => {
  const keys = new KeysStore(() => Promise.reject(new Error('not asked')))
  render(<Theme><RecoveryCard keys={keys} view={view(more)} /></Theme>)
}

test('a recovery key that may be the last to open something is removed only by who was asked for that', async () => {
  removeRecovery.mockRejectedValueOnce(new SessionError('history_missing', 'not whole')).mockResolvedValueOnce()
  show({ history: { here: 'part', recovery: 'set', otherDevices: 0, state: 'locked' } })
  fireEvent.click(screen.getByText('Change or remove it'))
  fireEvent.click(screen.getByRole('button', { name: 'Remove the recovery key' }))
  fireEvent.click(await screen.findByRole('button', { name: 'Remove it' }))
  fireEvent.click(await screen.findByRole('button', { name: 'Remove it, and lose that' }))
  await vi.waitFor(() => { expect(screen.queryByText(/The recovery key is removed/)).not.toBeNull() })
  expect(removeRecovery.mock.calls.map(([, options]) => options)).toEqual([{}, { evenIf: ResetWords }])
})

test('a key that somebody else added is said', () => {
  show({ forged: { title: 'Somebody else added a recovery key', next: '', code: 'recovery_forged' } })
  expect(screen.queryByText(/Somebody else added a recovery key/)).not.toBeNull()
})

test('what did not come back is said', () => {
  expect(recoveredWords({ missing: 0 })).toBe('Your history is back on this device')
  expect(recoveredWords({ missing: 1 })).toContain('but for one part')
  expect(recoveredWords({ missing: 7 })).toContain('but for 7 parts')
})
