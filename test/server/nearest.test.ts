import t from 'tap'
import { nearest } from '../../server/nearest.ts'
import { seeded } from '../support/pace.ts'

/** Levenshtein by the book. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]
}

t.test('what is within the edits is found, and nothing else', async (t) => {
  const random = seeded(5)
  const word = (most: number) => Array.from({ length: 1 + random.below(most) }, () => 'abc'[random.below(3)]).join('')
  let found = 0
  for (let i = 0; i < 5000; i++) {
    const a = word(30)
    let b = a
    for (let edits = random.below(12); edits > 0; edits--) {
      const at = random.below(b.length + 1)
      b = b.slice(0, at) + word(2) + b.slice(at + random.below(3))
    }
    const most = Math.min(8, Math.max(2, Math.ceil(a.length / 3)))
    const close = distance(a, b) <= most || (a.length >= 3 && b.includes(a))
    if (close) found++
    if ((nearest(a, [b]).length === 1) !== close) t.fail(`${a} ${b}: ${distance(a, b)}`)
  }
  t.ok(found > 500 && found < 4500, `${found} of 5000 are close`)
})

t.test('nearest first, at most as many as asked for; case aside', async (t) => {
  t.same(nearest('pirat', ['shout', 'pirates', 'Pirate', 'private']), ['Pirate', 'pirates'])
  t.same(nearest('pirat', ['pirates', 'pirate'], 1), ['pirate'])
  t.same(nearest('bot', ['support-bot']), ['support-bot'], 'a part of a name')
  t.same(nearest('x'.repeat(10_000), ['x'.repeat(64)]), ['x'.repeat(64)])
  t.same(nearest('', ['ab', 'abc']), ['ab'])
})

t.test('among thousands: the slip is found, within a millisecond', async (t) => {
  const shapes: [(i: number) => string, string, string][] = [
    [(i) => `a${i}`, 'a499x', 'a499'],
    [(i) => `tenant-${i}-support-bot`, 'tenant-4711-suport-bot', 'tenant-4711-support-bot'],
    [
      (i) => `${String(i).padStart(4, '0')}/`.padEnd(64, 'abcdefg'),
      `${'4711/'.padEnd(63, 'abcdefg')}`,
      `${'4711/'.padEnd(64, 'abcdefg')}`,
    ],
  ]
  for (const [make, wrong, right] of shapes) {
    const names = Array.from({ length: 5000 }, (_, i) => make(i)).sort()
    t.equal(nearest(wrong, names)[0], right)
    // The least of many: what else runs on the machine is not measured.
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < 50; i++) {
      const start = performance.now()
      nearest(wrong, names)
      least = Math.min(least, performance.now() - start)
    }
    t.ok(least <= 1, `${least} ms`)
  }
})
