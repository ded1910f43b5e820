import { rolldown } from 'rolldown'

// One script of all that a module imports, for a page or (es) for a module.
export async function bundle(input: string, format: 'iife' | 'es' = 'iife'): Promise<string> {
  const built = await rolldown({ input, platform: 'browser', logLevel: 'silent' })
  const { output } = await built.generate({ format, codeSplitting: false })
  await built.close()
  return output[0].code
}
