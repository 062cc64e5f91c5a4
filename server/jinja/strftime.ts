/** Python's strftime, in the C locale as glibc has it. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

/** A directive's text, with how it is padded and how wide it is. */
type Directive = (date: Date) => { text: string | number; fill?: '0' | ' '; width?: number }

const number = (value: number, width = 2, fill: '0' | ' ' = '0') => ({ text: value, width, fill })
const dayOfYear = (date: Date) =>
  Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000)
const hour12 = (date: Date) => date.getHours() % 12 || 12

/** Weeks of the year whose days begin with this one. */
const weekOf = (date: Date, first: number) => Math.floor((dayOfYear(date) + 7 - ((date.getDay() - first + 7) % 7)) / 7)

/** ISO 8601's: the week belongs to the year of its Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7))
  return { year: thursday.getFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 }
}

/** datetime.now() knows no zone: %z and %Z are empty. */
const DIRECTIVES: { [letter: string]: Directive | string } = {
  a: (date) => ({ text: DAYS[date.getDay()].slice(0, 3) }),
  A: (date) => ({ text: DAYS[date.getDay()] }),
  b: (date) => ({ text: MONTHS[date.getMonth()].slice(0, 3) }),
  h: '%b',
  B: (date) => ({ text: MONTHS[date.getMonth()] }),
  c: '%a %b %e %H:%M:%S %Y',
  C: (date) => number(Math.floor(date.getFullYear() / 100)),
  d: (date) => number(date.getDate()),
  D: '%m/%d/%y',
  e: (date) => number(date.getDate(), 2, ' '),
  f: (date) => number(date.getMilliseconds() * 1000, 6),
  F: '%Y-%m-%d',
  g: (date) => number(isoWeek(date).year % 100),
  G: (date) => number(isoWeek(date).year, 4),
  H: (date) => number(date.getHours()),
  I: (date) => number(hour12(date)),
  j: (date) => number(dayOfYear(date) + 1, 3),
  k: (date) => number(date.getHours(), 2, ' '),
  l: (date) => number(hour12(date), 2, ' '),
  m: (date) => number(date.getMonth() + 1),
  M: (date) => number(date.getMinutes()),
  n: () => ({ text: '\n' }),
  p: (date) => ({ text: date.getHours() < 12 ? 'AM' : 'PM' }),
  P: (date) => ({ text: date.getHours() < 12 ? 'am' : 'pm' }),
  r: '%I:%M:%S %p',
  R: '%H:%M',
  s: (date) => ({ text: Math.floor(date.getTime() / 1000) }),
  S: (date) => number(date.getSeconds()),
  t: () => ({ text: '\t' }),
  T: '%H:%M:%S',
  u: (date) => number(date.getDay() || 7, 1),
  U: (date) => number(weekOf(date, 0)),
  V: (date) => number(isoWeek(date).week),
  w: (date) => number(date.getDay(), 1),
  W: (date) => number(weekOf(date, 1)),
  x: '%m/%d/%y',
  X: '%H:%M:%S',
  y: (date) => number(date.getFullYear() % 100),
  Y: (date) => number(date.getFullYear(), 1),
  z: () => ({ text: '' }),
  Z: () => ({ text: '' }),
  '%': () => ({ text: '%' }),
}

/** Wider ones are no date. */
const MOST_WIDE = 1000

/** `date` in local time; a directive that there is not stays as it stands. */
export function strftime(format: string, date: Date): string {
  return format.replace(/%([-_0^#+]*)(\d*)[EO]?(.)/gs, (all, flags: string, wide: string, letter: string) => {
    const directive = DIRECTIVES[letter]
    if (directive === undefined) return all
    if (typeof directive === 'string') return cased(pad(strftime(directive, date), Number(wide || 0), ' '), flags)
    const { text, fill, width = 0 } = directive(date)
    const padding = flags.includes('_') ? ' ' : flags.includes('0') ? '0' : (fill ?? ' ')
    const least = flags.includes('-') ? 0 : Math.max(width, Math.min(Number(wide || 0), MOST_WIDE))
    return cased(pad(String(text), least, padding), flags, letter)
  })
}

const pad = (text: string, width: number, fill: string) => text.padStart(Math.min(width, MOST_WIDE), fill)

function cased(text: string, flags: string, letter = ''): string {
  if (flags.includes('^')) return text.toUpperCase()
  if (!flags.includes('#')) return text
  return letter === 'p' ? text.toLowerCase() : text.toUpperCase()
}
