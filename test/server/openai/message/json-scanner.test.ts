/** The scanner takes what JSON.parse takes, in every cut, and nothing else. */
import t from 'tap'
import { JsonScanner } from '../../../../server/openai/message/json-scanner.ts'
import { pythonLiteral } from '../../../../server/openai/message/python-literal.ts'
import { TextSource } from '../../../../server/openai/message/text-source.ts'

/** Whether all of these pieces are one value; what was written of it. */
function scanned(pieces: readonly string[]): { whole: boolean; written: string } {
  const scanner = new JsonScanner()
  let written = ''
  let rest = ''
  for (const piece of pieces) {
    const at = scanner.state === 'more' ? scanner.scan(piece, 0) : 0
    if (at > 0) written += scanner.written
    rest += piece.slice(at)
  }
  return { whole: scanner.end() && rest === '', written }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function random(seed: number) {
  let state = seed
  return (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

const SCRAPS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '"a"',
  '"\\u00e9\\n"',
  '\\',
  '\\u12',
  'true',
  'false',
  'null',
  'nul',
  '-',
  '0',
  '12',
  '1.5',
  '.',
  'e+3',
  'E',
  ' ',
  '\n',
  'é😀',
  '1e',
  '-0',
  '01',
]

t.test('scraps of JSON', async (t) => {
  const below = random(3)
  let good = 0
  for (let round = 0; round < 30_000; round++) {
    const text = Array.from({ length: 1 + below(9) }, () => SCRAPS[below(SCRAPS.length)]).join('')
    // White space around a value is not the scanner's, and line ends in strings are mended.
    if (text.trim() !== text || /"[^"]*\n/.test(text)) continue
    const expected = parses(text)
    if (expected) good++
    const at = below(text.length + 1)
    for (const pieces of [[text], [...text], [text.slice(0, at), text.slice(at)]]) {
      const { whole, written } = scanned(pieces)
      if (whole !== expected || (whole && written !== text)) return t.fail(`${JSON.stringify(pieces)}: ${whole}`)
    }
  }
  t.ok(good > 500, `${good} of them are JSON`)
})

t.test('values of all kinds, whole and broken', async (t) => {
  const below = random(5)
  const value = (depth: number): unknown => {
    const kind = below(depth > 3 ? 5 : 7)
    if (kind === 0) return below(1000) / 8 - 50
    if (kind === 1) return ['', 'a"b', 'é\u2028\\', '\ud83d\ude00', 'x\ty'][below(5)]
    if (kind < 5) return [null, true, false][kind - 2]
    const items = Array.from({ length: below(4) }, () => value(depth + 1))
    return kind === 5 ? items : Object.fromEntries(items.map((item, i) => [`k"${i}`, item]))
  }
  for (let round = 0; round < 2000; round++) {
    const json = JSON.stringify(value(0), null, below(3))
    const at = below(json.length)
    for (const text of [json, json.slice(0, at), json.slice(0, at) + '}],"0'[below(6)] + json.slice(at + below(2))]) {
      if (text.trim() !== text || text === '') continue
      const { whole } = scanned([...text])
      if (whole !== parses(text)) return t.fail(`${text}: ${whole}`)
    }
  }
  t.pass()
})

t.test('nesting takes no stack, and numbers have an end', async (t) => {
  const deep = '['.repeat(1e6)
  t.notOk(scanned([deep]).whole)
  t.ok(scanned([deep + ']'.repeat(1e6)]).whole)
  t.notOk(scanned(['1'.repeat(10_000)]).whole)
})

t.test("Python's literals as JSON", async (t) => {
  const read = (text: string) => {
    const source = new TextSource()
    source.push(text)
    source.end()
    let json = ''
    const { value } = pythonLiteral(source, (part) => (json += part)).next()
    return value === true && source.peek().next().value === '' ? json : undefined
  }
  for (const [python, json] of [
    ["'a\"b'", 'a"b'],
    ["'it\\'s\\n\\x41\\u00e9\\101\\U0001F600\\d'", "it's\nA\u00e9A\u{1f600}\\d"],
    ['[1, -2.5, .5, 1., 1_000, 1e3, +7, 007,]', [1, -2.5, 0.5, 1, 1000, 1000, 7, 7]],
    ["{'a': True, \"b\": None, 'c': (1, 2), 'd': {}}", { a: true, b: null, c: [1, 2], d: {} }],
    ['()', []],
    ['false', false],
  ] as const)
    t.same(JSON.parse(read(python) ?? '"none"'), json, python)
  for (const wrong of [
    '',
    "'a",
    '[1',
    '[,]',
    'x',
    '{1: 2}',
    '{"a" 1}',
    "'\\x4'",
    "'\\UFFFFFFFF'",
    '1.2.3',
    '--1',
    '-',
    `${'['.repeat(100)}${']'.repeat(100)}`,
  ])
    t.equal(read(wrong), undefined, wrong)
})
