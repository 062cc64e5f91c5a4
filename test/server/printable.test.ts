import { Writable } from 'node:stream'
import { pino } from 'pino'
import t from 'tap'
import { forPeople, forPrograms } from '../../server/log.ts'
import { printable, printableJson, printableLines } from '../../server/printable.ts'

/** Each with what it does to a terminal. */
const DANGEROUS: [string, string, string][] = [
  ['clears the screen', '\u001b[2J', '\\u001b[2J'],
  ['names the window', '\u001b]0;x\u0007', '\\u001b]0;x\\u0007'],
  ['is an escape in one byte of Latin-1', '\u009b2J', '\\u009b2J'],
  ['goes back', 'a\rb\bc\u007f', 'a\\u000db\\u0008c\\u007f'],
  ['begins a line', 'a\nb\u0085c\u2028d\u2029e\vf', 'a\\u000ab\\u0085c\\u2028d\\u2029e\\u000bf'],
  ['turns the direction', '\u202egnp.exe\u2066\u200f\u061c', '\\u202egnp.exe\\u2066\\u200f\\u061c'],
  ['is half of a character', '\ud83d|\ude00', '\\ud83d|\\ude00'],
  ['ends a C string', 'a\u0000b', 'a\\u0000b'],
]

for (const [what, text, shown] of DANGEROUS)
  t.test(`what ${what} is shown and not done`, async (t) => t.equal(printable(text), shown))

t.test('what people write stays as it is', async (t) => {
  const text = 'Größe: 日本語 עברית 👩‍👩‍👧 café "quoted" \\ back'
  t.equal(printable(text), text)
  t.equal(printableLines('  - one\n  - t\u001bwo'), '  - one\n  - t\\u001bwo')
})

t.test('a line of JSON keeps its meaning', async (t) => {
  const value = { msg: DANGEROUS.map(([, text]) => text).join(''), 'k\u009by': 'ü' }
  const line = printableJson(`${JSON.stringify(value)}\n`)
  t.same(JSON.parse(line), value)
  t.match(line, /^[^\p{Cc}\p{Bidi_Control}]*\n$/u)
})

/** What a log in this form writes of a line with everything dangerous in every place. */
function logged(form: typeof forPeople): string {
  const written: string[] = []
  const sink = new Writable({
    decodeStrings: false,
    write(text, _encoding, done) {
      written.push(String(text))
      done()
    },
  })
  const text = DANGEROUS.map(([, part]) => part).join('|')
  const log = pino({ level: 'info' }, form(sink))
  log.warn({ adapter: text, nested: { [text]: [text] } }, text)
  log.error({ err: Object.assign(new Error(text), { code: text }) }, 'failed')
  return written.join('')
}

t.test('the log on a terminal: colours are all that is done', async (t) => {
  const text = await new Promise<string>((resolve) => {
    const lines = logged(forPeople)
    setImmediate(() => resolve(lines))
  })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours
  const plain = text.replace(/\u001b\[\d+m/g, '').replaceAll('\n', '')
  t.match(plain, 'u001b[2J')
  t.match(plain, 'printable.test', 'the stack is there')
  t.notMatch(plain, /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
})

t.test('the log elsewhere: JSON that a terminal can show', async (t) => {
  const lines = logged(forPrograms).trimEnd().split('\n')
  t.equal(lines.length, 2)
  for (const line of lines) t.notMatch(line, /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
  t.match(JSON.parse(lines[0]).msg, DANGEROUS[0][1])
})
