import { expect, test } from 'vitest'
import { Refusal } from '../src/failure.ts'
import { openMessage } from '../src/message.ts'
import { fields, list, oneOf, text, whole } from '../src/parse.ts'
import { Pins } from '../src/pins.ts'
import { MemoryStore } from '../src/memory.ts'
import type { Device } from '../src/device.ts'
import { goTestdata, openIn, parseBundle, readJson, setPointer, type Bundle } from './bundle.ts'

interface Forgery {
  readonly name: string
  readonly set: Readonly<Record<string, unknown>>
  readonly message: number
  readonly epoch: number | undefined
  readonly refusal: Refusal
}

const table = fields(readJson(new URL('forgeries.json', goTestdata)), 'table')
const forgeries: readonly Forgery[] = list(table['forgeries'], 'forgeries').map((value) => {
  const row = fields(value, 'forgery')
  return {
    name: text(row, 'name'),
    set: fields(row['set'], 'set'),
    message: whole(row, 'message'),
    epoch: row['epoch'] === undefined ? undefined : whole(row, 'epoch'),
    refusal: oneOf(row, 'refusal', Refusal),
  }
})
const good = await parseBundle(table['bundle'])

/** Opens what the forgery names, on a device that has seen every epoch of the good bundle. */
async function open(forgery: Forgery, bundle: Bundle, device: Device): Promise<unknown> {
  const pins = new Pins(new MemoryStore(), 'test')
  const checkPins = (roster: Parameters<Pins['checkRoster']>[0]) => pins.checkRoster(roster)
  for (const { row } of good.epochs) {
    const epoch = await openIn(good, device, row.session_id, row.epoch, { checkPins })
    await pins.keepRoster(epoch.roster)
  }
  if (forgery.epoch !== undefined) {
    const at = good.epochs[forgery.epoch]?.row
    if (at === undefined) throw new Error('no such epoch')
    return openIn(bundle, device, at.session_id, at.epoch, { checkPins })
  }
  const m = bundle.messages[forgery.message]?.row
  if (m === undefined) throw new Error('no such message')
  return openMessage(await openIn(bundle, device, m.session_id, m.epoch, { checkPins }), m)
}

test('the table is the whole one', () => {
  expect(forgeries.length).toBeGreaterThan(60)
})

test.each(forgeries)('$name is refused as $refusal', async (forgery) => {
  let tree = table['bundle']
  for (const pointer of Object.keys(forgery.set)) {
    tree = setPointer(tree, pointer.split('/').slice(1), forgery.set[pointer])
  }
  const forged = await parseBundle(tree)
  for (const { device } of good.devices) {
    await expect(open(forgery, good, device)).resolves.toBeDefined()
    await expect(open(forgery, forged, device)).rejects.toMatchObject({ refusal: forgery.refusal })
  }
})
