/** JSON strings: of any length, of some lengths, of a pattern, of a format. */
import { type Rules, repeated } from '../ebnf.ts'
import { regularOf } from '../regular/parse.ts'
import { ALL, ANYTHING, alt, NOTHING, type Regular, repeat, text } from '../regular/regular.ts'
import { written } from '../regular/write.ts'
import { placed } from './checked.ts'
import type { Facts } from './facts.ts'

const PLAIN = String.raw`[^"\\\u0000-\u001f]`
/** Not by their numbers: where characters are counted, such a one could be half of a character. */
const ESCAPED = String.raw`"\\" ["\\/bfnrt]`
/**
 * Of strings whose length is bounded by so many, each place is a rule, and characters may be escaped. Longer ones have none that are: XGrammar compiles a repeated class in the time
 * of one, and 200 repeated alternatives in 20 s.
 */
const MOST_PLACES = 64

const LEAP = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[048]|[2468][048]|[13579][26])00)'
const DATE = `(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|${LEAP}-02-29)`
const TIME = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])'
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
// Without two hyphens beside each other: such labels are encoded ones, of which not every one decodes.
const LABEL = '[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,19}){0,2}'
const NAME = `${LABEL}(?:\\.${LABEL}){0,3}`
const GROUP = '[0-9a-fA-F]{1,4}'
/** As many groups before the gap as there may be, and as many behind it. */
const SHORTENED = [1, 2, 3, 4, 5, 6].map((before) => `(?:${GROUP}:){1,${before}}(?::${GROUP}){1,${7 - before}}`).join('|')
const COUNT = '[0-9]{1,4}'
const DAYS = `(?:${COUNT}Y(?:${COUNT}M(?:${COUNT}D)?)?|${COUNT}M(?:${COUNT}D)?|${COUNT}D)`
const HOURS = `T(?:${COUNT}H(?:${COUNT}M(?:${COUNT}S)?)?|${COUNT}M(?:${COUNT}S)?|${COUNT}S)`

/** Formats that answers are held to. Any other says nothing, as JSON Schema has it. What is written is a part of what each allows. */
export const FORMATS: Record<string, string> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  duration: `P(?:${COUNT}W|${DAYS}(?:${HOURS})?|${HOURS})`,
  email: `[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,16}){0,3}@${LABEL}(?:\\.${LABEL}){1,3}`,
  hostname: NAME,
  ipv4: `${OCTET}(?:\\.${OCTET}){3}`,
  ipv6: `(?:${GROUP}:){7}${GROUP}|${SHORTENED}|(?:${GROUP}:){1,7}:|:(?::${GROUP}){1,7}|::|::[fF]{4}:${OCTET}(?:\\.${OCTET}){3}`,
  uuid: '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}',
  uri: `https?://${NAME}(?::[0-9]{2,4})?(?:/[A-Za-z0-9._~-]{0,64}){0,8}(?:\\?[A-Za-z0-9._~=&-]{0,64})?(?:#[A-Za-z0-9._~-]{0,64})?`,
}

export const anyString = (rules: Rules): string => rules.rule(`"\\"" ${restOfString(rules)}`)

/** Any characters, and the quote behind them. It names itself at its end: XGrammar masks such a rule in 8 µs where `(…)*` takes 350 (49,152 tokens, measured). */
export const restOfString = (rules: Rules): string =>
  rules.recursive(
    'the rest of a string',
    (rest) => String.raw`"\"" | [^"\\\u0000-\u001f] ${rest} | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) ${rest}`,
  )

/** Undefined: there is none. Throws ConstraintError at the keyword that cannot be had. */
export function stringOf(rules: Rules, facts: Facts): string | undefined {
  const { minLength, maxLength, patterns, formats, unlike } = facts
  if (maxLength !== undefined && minLength > maxLength) return undefined
  const free = patterns.length === 0 && !formats.some(isKnown) && !unlike.some(({ value }) => typeof value === 'string')
  if (free)
    return minLength === 0 && maxLength === undefined
      ? anyString(rules)
      : rules.rule(`"\\"" ${countedRest(rules, minLength, maxLength)}`)
  const place = patterns[0]?.at ?? formats.find(isKnown)?.at ?? unlike[0].at
  const body = placed(place, () => written(textsOf(facts), 'json', rules))
  return body && rules.rule(`"\\"" ${body} "\\""`)
}

const isKnown = ({ name }: { name: string }) => Object.hasOwn(FORMATS, name)

/** Texts that are kept to: without the quotes. */
export function textsOf({ minLength, maxLength, patterns, formats, unlike }: Facts): Regular {
  const all: Regular[] = patterns.map(({ source, holds, at }) => {
    const one = placed(at, () => regularOf(source, true))
    return holds ? one : { kind: 'not', what: one }
  })
  for (const { name, at } of formats.filter(isKnown)) all.push(placed(at, () => regularOf(FORMATS[name], false)))
  const others = unlike.flatMap(({ value }) => (typeof value === 'string' ? [text(value)] : []))
  if (others.length > 0) all.push({ kind: 'not', what: alt(...others) })
  if (minLength > 0 || maxLength !== undefined) {
    const [one] = all
    const counted = all.length === 1 ? recounted(one, minLength, maxLength) : undefined
    if (counted) return counted
    all.push(repeat({ kind: 'chars', set: ALL }, minLength, maxLength))
  }
  if (all.length === 0) return ANYTHING
  return all.length === 1 ? all[0] : { kind: 'and', of: all }
}

/** Of characters that are repeated: as many as may be. */
function recounted(one: Regular, least: number, most: number | undefined): Regular | undefined {
  if (one.kind !== 'repeat' || one.what.kind !== 'chars') return undefined
  const from = Math.max(one.least, least)
  const to = one.most === undefined ? most : most === undefined ? one.most : Math.min(one.most, most)
  return to !== undefined && from > to ? NOTHING : repeat(one.what, from, to)
}

/** `least` to `most` characters, and the quote behind them. */
function countedRest(rules: Rules, least: number, most: number | undefined): string {
  if (most === 0) return '"\\""'
  if ((most ?? least) > MOST_PLACES) {
    const rest = most === undefined ? restOfString(rules) : '"\\""'
    return `${repeated(PLAIN, least, most ?? least)} ${rest}`
  }
  if (most === undefined && least === 0) return restOfString(rules)
  const next = countedRest(rules, Math.max(0, least - 1), most === undefined ? undefined : most - 1)
  return rules.rule(`${least === 0 ? '"\\"" | ' : ''}${PLAIN} ${next} | ${ESCAPED} ${next}`)
}
