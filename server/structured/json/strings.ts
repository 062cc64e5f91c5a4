/** JSON strings: of any length, of some lengths, of a pattern, of a format. */
import { ConstraintError, type Rules, repeated } from '../ebnf.ts'
import { regexToEbnf } from '../regex.ts'

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
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const NAME = `${LABEL}(?:\\.${LABEL}){0,3}`
const GROUP = '[0-9a-fA-F]{1,4}'

/** Formats that answers are held to. Any other says nothing, as JSON Schema has it. What is written is a part of what each allows. */
export const FORMATS: Record<string, string> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  duration: 'P(?:[0-9]{1,4}W|(?:[0-9]{1,4}Y)?(?:[0-9]{1,4}M)?[0-9]{1,4}D(?:T(?:[0-9]{1,4}H)?(?:[0-9]{1,4}M)?[0-9]{1,4}S)?)',
  email: `[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,16}){0,3}@${LABEL}(?:\\.${LABEL}){1,3}`,
  hostname: NAME,
  ipv4: `${OCTET}(?:\\.${OCTET}){3}`,
  ipv6: `(?:${GROUP}:){7}${GROUP}|(?:${GROUP}:){1,6}:${GROUP}|::${GROUP}(?::${GROUP}){0,5}|::`,
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

export interface StringWish {
  minLength?: number
  maxLength?: number
  pattern?: string
  format?: string
}

/** Throws ConstraintError at the keyword that cannot be had. */
export function stringOf(rules: Rules, { minLength = 0, maxLength, pattern, format }: StringWish): string | undefined {
  const known = format !== undefined && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined
  const counted = minLength > 0 || maxLength !== undefined
  if (counted && (pattern !== undefined || known !== undefined)) {
    const other = pattern === undefined ? 'format' : 'pattern'
    throw new ConstraintError(
      minLength > 0 ? 'minLength' : 'maxLength',
      `it is not supported beside ${other}; say the length in a pattern`,
    )
  }
  if (pattern !== undefined && known !== undefined)
    throw new ConstraintError('format', 'it is not supported beside pattern; say one of them')
  if (maxLength !== undefined && minLength > maxLength) return undefined
  if (pattern !== undefined) return rules.rule(`"\\"" ${inside('pattern', () => regexToEbnf(pattern, 'json', true))} "\\""`)
  if (known !== undefined) return rules.rule(`"\\"" ${regexToEbnf(known, 'json', false)} "\\""`)
  if (!counted) return anyString(rules)
  return rules.rule(`"\\"" ${countedRest(rules, minLength, maxLength)}`)
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

/** An error of `work` is one at `keyword`. */
export function inside<T>(keyword: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    throw new ConstraintError(error.at === '' ? keyword : `${keyword}.${error.at}`, error.message)
  }
}
