/** The README's reference is the package's: each export of each entry is named in it, and each member of what a program holds. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { fields, json, text } from '../src/parse.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8').replace(/^```[^]*?^```/gm, '') // without its examples
const exported = fields(fields(json(readFileSync(`${root}package.json`, 'utf8'), 'manifest'), 'manifest')['exports'], 'exports')
const reference = readme.slice(readme.indexOf('## Reference'), readme.indexOf('## Guarantees'))

/** Entries that are modules, by name, with their sources. */
const entries = Object.entries(exported).flatMap(([name, target]) => {
  if (typeof target !== 'object') return []
  return [{ name: `vigil-client${name.slice(1)}`, source: `${root}${text(fields(target, name), 'default').replace('./dist/', 'src/').replace(/\.js$/, '.ts')}` }]
})
const program = ts.createProgram(entries.map((one) => one.source), {
  target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, allowImportingTsExtensions: true,
  noEmit: true, strict: true, skipLibCheck: true, types: [], noLib: true,
})
const checker = program.getTypeChecker()

function exportsOf(source: string): readonly ts.Symbol[] {
  const file = program.getSourceFile(source)
  const module = file === undefined ? undefined : checker.getSymbolAtLocation(file)
  return module === undefined ? [] : checker.getExportsOfModule(module)
}

/** Whether the text names it as code. */
function names(within: string, name: string): boolean {
  return Array.from(within.matchAll(/`([^`]+)`/g)).some(([, code = '']) => new RegExp(`(?<![\\w$])${name}(?![\\w$])`).test(code))
}

/** The part of the reference that is about an entry. */
function section(name: string): string {
  const at = reference.indexOf(`### ${name}\n`)
  const end = reference.indexOf('\n### ', at + 1)
  return at < 0 ? '' : reference.slice(at, end < 0 ? undefined : end)
}

describe('the README', () => {
  test.each(entries)('names each export of $name', ({ name, source }) => {
    const all = exportsOf(source).map((symbol) => symbol.name)
    const workers = /worker$/.test(name)
    expect(all.length > 0 || workers, `${name} exports nothing`).toBe(true)
    expect(names(readme, name), `${name} is an entry`).toBe(true)
    expect(all.filter((one) => !names(section(name), one))).toEqual([])
  })

  const held = ['Vigil', 'Devices', 'Session', 'StrictWatch', 'Detector', 'SessionEvents', 'VigilEvents', 'StrictEvents', 'ChatMessage', 'VigilOptions']
  test.each(held)('names each public member of %s', (name) => {
    const symbol = entries.flatMap(({ source }) => exportsOf(source)).find((one) => one.name === name)
    if (symbol === undefined) throw new Error(`${name} is not exported`)
    const real = (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
    const members = [...(real.members?.values() ?? [])].filter((member) => isPublic(member)).map((member) => member.name)
    expect(members.length).toBeGreaterThan(1)
    expect(members.filter((one) => !names(reference, one))).toEqual([])
  })

  test('names in its reference nothing that is not there', () => {
    for (const { name, source } of entries) {
      const known = new Set(exportsOf(source).map((symbol) => symbol.name))
      const rows = Array.from(section(name).matchAll(/^\| (`[^|]*) \|/gm), ([, cell = '']) => cell)
      const named = rows.flatMap((cell) => Array.from(cell.matchAll(/`(?:new )?([A-Za-z0-9]+)/g), ([, one = '']) => one))
      expect(named.filter((one) => !known.has(one)), name).toEqual([])
    }
  })
})

function isPublic(member: ts.Symbol): boolean {
  const hidden = member.declarations?.some((one) => {
    const flags = ts.getCombinedModifierFlags(one)
    const internal = ts.getJSDocTags(one).some((tag) => tag.tagName.text === 'internal')
    return (flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Static)) !== 0 || internal
  })
  return hidden !== true && /^[a-z][A-Za-z_]*$/.test(member.name)
}
