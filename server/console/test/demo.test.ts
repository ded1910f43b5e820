import { describe, expect, test } from 'vitest'
import { isLevel, latencyWords, parseDemoState, parseEvent, tell, withChapters, type Chapter, type DemoState } from '../src/demo/state.ts'

const said = {
  sidecar: { state: 'up', since: '2026-11-23T05:00:00Z', kills: 0 },
  consoleUrl: 'http://127.0.0.1:8788/console/',
  people: [{ email: 'clio@demo.test', password: 'p', name: 'Clio (demo client)', role: 'client' }],
  replay: { running: true, total: 100, sent: 40, error: null },
  counters: { written: 40, assessed: 38, notAssessed: 1, relayed: 39, missing: 0, doubled: 0, alerts: { 4: 2, none: 1, 6: 1 }, suggestions: 3 },
  latency: { p50Ms: 12.5, p95Ms: 40, maxMs: 90 },
}
const state = (more: object = {}): DemoState => parseDemoState({ ...said, ...more })
const counters = (more: object): object => ({ counters: { ...said.counters, ...more } })

describe('the demo', () => {
  test('alerts come the gravest first, and nobody-could-assess last', () => {
    expect(state().counters.alerts).toEqual([{ level: 6, count: 1 }, { level: 4, count: 2 }, { level: null, count: 1 }])
  })

  test('an event is JSON text; what is not understood is refused', () => {
    expect(parseEvent(JSON.stringify(said)).counters.written).toBe(40)
    for (const data of ['{', JSON.stringify({ ...said, counters: { ...said.counters, written: '40' } }), 7]) expect(() => parseEvent(data)).toThrow()
  })

  test('it is level only when all are, and nothing is missing or doubled', () => {
    expect(isLevel(state())).toBe(false)
    expect(isLevel(state(counters({ assessed: 39, relayed: 40 })))).toBe(true)
    expect(isLevel(state(counters({ assessed: 39, relayed: 40, doubled: 1 })))).toBe(false)
    expect(isLevel(state(counters({ written: 0, assessed: 0, notAssessed: 0, relayed: 0 })))).toBe(false)
  })

  test('the times say whether a crash is in them', () => {
    expect(latencyWords(0)).not.toContain('crash')
    expect([latencyWords(1), latencyWords(2)]).toEqual([expect.stringContaining('the crash included'), expect.stringContaining('2 crashes included')])
  })

  test('the story: begun, killed, back, caught up', () => {
    const begun = state()
    const killed = state({ sidecar: { ...said.sidecar, state: 'down', kills: 1 } })
    const back = state({ sidecar: { ...said.sidecar, kills: 1 } })
    const level = state({ sidecar: { ...said.sidecar, kills: 1 }, ...counters({ assessed: 39, relayed: 40 }) })
    expect(tell(null, begun)[0]?.text).toContain('The demo began')
    expect(tell(begun, begun)).toEqual([])
    expect(tell(begun, killed)[0]?.text).toContain('after 40 messages')
    expect(tell(killed, back)[0]?.text).toContain('1 message behind')
    expect(tell(back, level)[0]?.text).toContain('Caught up: 40')
  })

  test('being level again is told once for each kill', () => {
    const chapter = (kind: Chapter['kind'], text: string = kind): Chapter => ({ kind, text })
    const story = [chapter('begun'), chapter('killed'), chapter('level', '1'), chapter('level', '2'), chapter('killed'), chapter('back'), chapter('level', '3')]
      .reduce<readonly Chapter[]>((told, one) => withChapters(told, [one]), [])
    expect(story.map((one) => one.text)).toEqual(['3', 'back', 'killed', '1', 'killed', 'begun'])
  })
})
