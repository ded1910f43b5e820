const browsers: readonly (readonly [RegExp, string])[] = [[/\bEdg/, 'Edge'], [/\bFirefox|\bFxiOS/, 'Firefox'], [/\bOPR\b/, 'Opera'], [/Chrome|\bCriOS/, 'Chrome'], [/\bSafari/, 'Safari']]
const systems: readonly (readonly [RegExp, string])[] = [[/iPhone/, 'iPhone'], [/iPad/, 'iPad'], [/Android/, 'Android'], [/Windows/, 'Windows'], [/Mac OS X/, 'Mac'], [/CrOS/, 'Chromebook'], [/Linux/, 'Linux']]

/** What a browser calls itself, as a person would: the first name of a device, until its owner gives it another. */
export function browserName(agent: string): string {
  const of = (known: readonly (readonly [RegExp, string])[], other: string): string => known.find(([pattern]) => pattern.test(agent))?.[1] ?? other
  return `${of(browsers, 'A browser')} on ${of(systems, 'a computer')}`
}
