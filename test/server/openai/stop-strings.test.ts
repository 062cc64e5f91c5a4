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
