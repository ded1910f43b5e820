/** Words for codes. What a colour says, a word says too. */
import type { Badge } from 'vigil-client'
import { Item, type Alert, type Assessment } from '../api/rows.ts'

export type Tone = 'red' | 'amber' | 'gray'

const levels = [
  'No sign of self-harm',
  'Wish to be dead',
  'Thoughts of suicide',
  'Thoughts with a method',
  'Some intent to act',
  'Plan and intent',
  'Suicidal behaviour',
] as const

/** A level of the Columbia scale in words; null is unknown, which is not 0. */
export function levelWords(level: number | null): string {
  if (level === null) return 'Level unknown'
  return levels[level] ?? `Level ${level}`
}

/** How grave a level looks. What pages somebody is decided by the practice, not here. */
export function levelTone(level: number | null): Tone {
  if (level === null) return 'amber'
  if (level >= 4) return 'red'
  return level >= 1 ? 'amber' : 'gray'
}

const topics: Readonly<Record<string, string>> = {
  sleep: 'Sleep', work: 'Work', family: 'Family', relationship: 'Relationship', grief: 'Grief', anxiety: 'Anxiety', depression: 'Low mood',
  substance_use: 'Alcohol or drugs', school: 'School', money: 'Money', trauma: 'Trauma', health: 'Health',
}

export function topicWords(topic: string): string {
  return topics[topic] ?? spelt(topic)
}

/** A code of lower-case words as one reads it: family-conflict → Family conflict. */
function spelt(code: string): string {
  const words = code.replaceAll(/[_.-]/g, ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export const NotValidated = 'Not clinically validated'

const items = [
  'Wish to be dead', 'Thoughts of suicide', 'Method', 'Intent', 'Plan', 'Behaviour',
] as const

/** The screener's items that a message speaks of; what it does not speak of is unknown, and not shown. */
export function itemWords(assessment: Pick<Assessment, 'items'>): readonly string[] {
  return assessment.items.flatMap((item, at) => {
    const name = items[at]
    return name === undefined || item === Item.unknown ? [] : [`${name}: ${item}`]
  })
}

/** A rule's id as one reads it: thoughts.kill_self → thoughts, kill self. A topic's is the topic. */
export function ruleWords(rule: string): string {
  if (rule.startsWith('topic.')) return topicWords(rule.slice('topic.'.length))
  return rule.replaceAll('.', ', ').replaceAll(/[_-]/g, ' ')
}

const languages = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' })

export function languageWords(language: string | null): string {
  if (language === null) return 'Language unknown'
  try {
    return languages.of(language) ?? language
  } catch {
    return language
  }
}

/** A probability as one says it: never quite none, never quite sure. */
export function percent(score: number | null): string {
  if (score === null) return 'unknown'
  if (score < 0.01) return 'under 1 %'
  return score > 0.99 ? 'over 99 %' : `${Math.round(score * 100)} %`
}

/** Sentiment in words: the number alone says little. */
export function sentimentWords(sentiment: number | null): string {
  if (sentiment === null) return 'Tone unknown'
  if (sentiment <= -0.5) return 'Very negative'
  if (sentiment < -0.1) return 'Rather negative'
  if (sentiment <= 0.1) return 'Neutral'
  return sentiment < 0.5 ? 'Rather positive' : 'Very positive'
}

const reasons: Readonly<Record<string, string>> = {
  unopenable: 'it could not be opened',
  content: 'what is inside is no text',
  detector: 'the detector failed on it',
  unrecordable: 'the result could not be stored',
  score: 'what a device says of it is not signed by that device',
  unscored: 'the device that sent it has not scored it',
  gave_up: 'a fault lasted too long',
  format: 'its envelope is damaged',
  suite: 'its envelope is of an unknown kind',
  roster: 'its list of readers does not agree',
  signature: 'its signature does not verify',
  pin: 'a known device has other keys',
  consent: 'no valid consent stands behind it',
  wrap: 'no key for the detector is with it',
  commitment: 'its key is not the announced one',
  epoch: 'its key generation is unknown',
  body: 'its content does not verify',
  replay: 'it is a message that stands further up already',
}

export function notAssessedWords(reason: string | null): string {
  return reasons[reason ?? ''] ?? (reason === null ? 'no reason is recorded' : reason.replaceAll('_', ' '))
}

/** Why a message cannot be read here. */
export function unreadableWords(refusal: string): string {
  if (refusal === 'wrap') return 'This device holds no key for it: it was sealed before the device was known, or for others. Another of your devices, or your recovery passphrase, can bring it (Devices).'
  return `Not shown, because ${reasons[refusal] ?? 'it did not verify'}.`
}

/** What a mark on a message says. What somebody should do about it is said where it is explained (Devices, and the notes above the conversation). */
export function badgeWords(badge: Badge): string {
  switch (badge.kind) {
    case 'unreadable':
      return unreadableWords(badge.refusal)
    case 'new_device':
      return 'sealed, from a new device that you have not checked'
    case 'unsigned_device':
      return 'sealed, from a device that none of its owner’s known devices has confirmed: compare its number'
    case 'split_view':
      return 'its sender was shown another conversation than you: somebody changed what one of you sees. Tell each other by another way'
    case 'withheld':
      return `its sender saw ${badge.positions.length === 1 ? 'a message' : `${badge.positions.length} messages`} that you were not shown: withheld, or erased since`
    case 'out_of_order':
      return 'its sender sent it before another message that stands above it'
    case 'unscored':
      return 'not assessed on a device yet'
    case 'disagreement':
      if (badge.fields.every((field) => field === 'not_comparable')) return 'what the sender’s device found in it cannot be held against what yours did: read it yourself'
      return `the sender’s device and yours found different things in it (${badge.fields.map(spelt).join(', ')}): read it yourself`
  }
}

/** A size as one reads it. */
export function sizeWords(bytes: number): string {
  const units = ['B', 'kB', 'MB'] as const
  let [size, at] = [bytes, 0]
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000
    at++
  }
  return `${at === 0 ? size : size.toFixed(size < 10 ? 1 : 0)} ${units[at] ?? 'MB'}`
}

/** What else was found, beside the level. */
export function findings(assessment: Assessment): readonly string[] {
  const found: string[] = []
  if (assessment.harmOthers) found.push('Harm to others')
  if (assessment.abuse) found.push('Disclosure of abuse')
  if (assessment.distress) found.push('Acute distress')
  return found
}

export function alertWords(alert: Pick<Alert, 'level' | 'source'>): string {
  if (alert.source === 'not_assessed' || alert.level === null) return 'A message nobody could assess'
  return alert.level === 0 ? 'Danger other than self-harm' : levelWords(alert.level)
}

/** How grave an alert looks: one of level 0 was raised for a danger that the scale does not measure. */
export function alertTone(alert: Pick<Alert, 'level'>): Tone {
  return alert.level === 0 ? 'red' : levelTone(alert.level)
}

/** For sorting: unknown before all, for nobody has looked; a danger beside the scale as what pages by default. */
export function alertGravity(alert: Pick<Alert, 'level'>): number {
  if (alert.level === null) return 7
  return alert.level === 0 ? 4 : alert.level
}

const notMade: Readonly<Record<string, string>> = {
  off: 'Suggestions are off in this practice.',
  strict: 'In a private session nothing is drafted: Vigil’s server cannot read it.',
  no_consent: 'The client’s consent does not allow it.',
  no_device: 'There is no device to seal it to.',
  not_opened: 'The messages could not be opened.',
  busy: 'Too much was going on; detection goes first. Ask again.',
  model_failed: 'The model did not answer. Ask again.',
  nothing_fits: 'Nothing in the bank fits what was said.',
}

export function notMadeWords(reason: string | null): string {
  return notMade[reason ?? ''] ?? 'It could not be drafted.'
}

export function roleWords(role: string): string {
  const words: Readonly<Record<string, string>> = {
    client: 'client', therapist: 'therapist', supervisor: 'supervisor', admin: 'administrator', on_call: 'on call', analysis: 'Vigil’s detector',
  }
  return words[role] ?? role
}
