import t from 'tap'
import { StopAutomaton, StopStrings } from '../../../server/openai/stop-strings.ts'
import { seeded } from '../../support/pace.ts'

/** What comes out when `pieces` go in: the text given out, in pieces, and the stop string. */
function run(stops: string[], pieces: string[], include = false): { given: string[]; stop?: string } {
  const strings = new StopStrings(new StopAutomaton(stops), include)
  const given: string[] = []
  for (const piece of pieces) {
    const { text, stop } = strings.push(piece)
    given.push(text)
    if (stop !== undefined) return { given, stop }
  }
  given.push(strings.flush())
  return { given }
}

t.test('text is given out at once unless it could become a stop string', async (t) => {
  t.same(run(['END'], ['a', 'bE', 'N', 'x', 'E']), { given: ['a', 'b', '', 'ENx', '', 'E'] })
  t.same(run([], ['a', 'E']), { given: ['a', 'E', ''] })
})

t.test('the stop string that starts first wins; of those that start together the longest', async (t) => {
  t.match(run(['cd', 'bcd'], ['abcd']), { given: ['a'], stop: 'bcd' })
  t.match(run(['b', 'bc'], ['abcd']), { given: ['a'], stop: 'bc' })
  t.match(run(['d', 'bc'], ['abcd'], true), { given: ['abc'], stop: 'bc' })
})

t.test('a stop string that repeats itself is found wherever the text is cut', async (t) => {
  t.match(run(['aab'], ['a', 'a', 'a', 'b']), { stop: 'aab', given: ['', '', 'a', ''] })
})

t.test('random texts in random pieces: what is given out is the text up to the first stop string', async (t) => {
  const random = seeded(3)
  const letters = (n: number) => Array.from({ length: n }, () => random.pick(['a', 'b', 'c'])).join('')
  for (let round = 0; round < 2000; round++) {
    const text = letters(30)
    const stops = [letters(1 + random.below(5)), letters(2 + random.below(4))]
    const pieces: string[] = []
    for (let at = 0; at < text.length; ) {
      const length = 1 + random.below(4)
      pieces.push(text.slice(at, at + length))
      at += length
    }
    const { given, stop } = run(stops, pieces)
    // The stream ends at the first stop string that is complete; another that starts before it and ends later is not known yet.
    const ends = stops.filter((s) => text.includes(s)).map((s) => text.indexOf(s) + s.length)
    if (ends.length === 0) t.equal(given.join(''), text)
    else {
      t.ok(stop !== undefined && text.startsWith(given.join('') + stop), `${text} ${stops}`)
      t.notOk(
        stops.some((s) => given.join('').includes(s)),
        `${text} ${stops}`,
      )
    }
  }
})

t.test('what is found is what a search for each string finds, for many strings of a small alphabet', async (t) => {
  const random = seeded(11)
  const letters = (n: number, of: string[]) => Array.from({ length: n }, () => random.pick(of)).join('')
  /** Of the strings that are whole once `piece` has come: the one that starts first, of those the longest. */
  const search = (stops: string[], text: string) => {
    const found = stops.filter((s) => text.includes(s)).map((s) => ({ s, at: text.indexOf(s) }))
    return found.sort((a, b) => a.at - b.at || b.s.length - a.s.length)[0]
  }
  for (let round = 0; round < 3000; round++) {
    const alphabet = random.pick([['a', 'b'], ['a', '\ud83d', '\ude42'], ['a']])
    const stops = Array.from({ length: 1 + random.below(12) }, () => letters(1 + random.below(9), alphabet))
    const automaton = new StopStrings(new StopAutomaton(stops), false)
    let seen = ''
    let given = ''
    for (let i = 0; i < 8; i++) {
      const piece = letters(random.below(6), alphabet)
      seen += piece
      const right = search(stops, seen)
      const { text, stop } = automaton.push(piece)
      given += text
      if (stop !== right?.s || (right && given !== seen.slice(0, right.at)))
        t.fail(JSON.stringify({ stops, seen, stop, given, right }))
      if (stop !== undefined) break
      const rest = seen.slice(given.length)
      const shortest = stops.some((s) => rest !== '' && s.startsWith(rest)) || rest === ''
      if (!seen.startsWith(given) || !shortest) t.fail(JSON.stringify({ stops, seen, given, rest }))
    }
  }
  t.pass('all rounds')
})

t.test('thousands of strings, and long ones that are nearly matched, cost what they and the text hold', async (t) => {
  const time = (stops: string[], text: string) => {
    const began = performance.now()
    const strings = new StopStrings(new StopAutomaton(stops), false)
    for (let at = 0; at < text.length; at++) strings.push(text[at])
    return performance.now() - began
  }
  const near = (n: number) => [...Array(n - 1).fill(`${'a'.repeat(511)}b${'a'.repeat(511)}`), `${'a'.repeat(1023)}c`]
  const random = seeded(12)
  const many = Array.from({ length: 4000 }, () => String(random.below(1e15)))
  time(near(64), 'a'.repeat(4000))
  // Looked for one by one: 2 s and more for a thousand characters.
  for (const [stops, text] of [
    [near(64), 'a'.repeat(16_000)],
    [many, '1234567890'.repeat(1600)],
  ] as const) {
    const took = time([...stops], text)
    t.ok(took < 2000, `${stops.length} strings over ${text.length} characters took ${took} ms`)
  }
})
