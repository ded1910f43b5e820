import { DeviceState, type HistoryState, type OwnDevice } from 'vigil-client'

type State = HistoryState['state']

/** Whether somebody's history could be lost, in two words and in a sentence. */
export const historyWords: Readonly<Record<State, { readonly short: string; readonly title: string; readonly next: string; readonly tone: 'teal' | 'amber' | 'red' }>> = {
  safe: { short: 'History safe', title: 'Your history is safe', next: 'If you lose this device, another one or your recovery passphrase brings it back.', tone: 'teal' },
  only_here: { short: 'History only here', title: 'Your history is on this device only', next: 'If you lose it, nobody can bring your messages back: set a recovery passphrase.', tone: 'amber' },
  locked: { short: 'History locked', title: 'This device cannot read your earlier messages yet', next: 'Another of your devices lets it in with the code below, or your recovery passphrase does.', tone: 'amber' },
  lost: { short: 'History lost', title: 'Your earlier messages are lost', next: 'No device and no recovery passphrase is left that could open them. What comes from now on can be read.', tone: 'red' },
}

/** How a device stands, and what a state means for its owner. */
export const stateWords: Readonly<Record<DeviceState, string>> = {
  [DeviceState.usable]: 'in use',
  [DeviceState.waiting]: 'waits to be let in',
  [DeviceState.refused]: 'refused: its confirmation did not verify',
  [DeviceState.revoked]: 'removed',
}

export function deviceName(device: Pick<OwnDevice, 'kind' | 'label' | 'here'>): string {
  if (device.kind === 'recovery') return 'Recovery key'
  const label = device.label ?? ''
  if (label !== '') return device.here ? `${label} (this device)` : label
  return device.here ? 'This device' : 'A device without a name'
}
