/** Whose constraints are tried when many come, and constraints that are too large: nobody waits for another's slow ones. */
import t from 'tap'
import { textOf } from '../../../server/structured/constraint-text.ts'
import { Trials } from '../../../server/structured/trials.ts'
import { ofBytes } from '../../support/matching.ts'

const SLOW = JSON.stringify({ kind: 'regex', pattern: '((((a{0,200}b|c){0,200}d|e){0,200}f|g){0,200}h|i){0,200}' })
const choice = (text: string) => JSON.stringify({ kind: 'choice', choices: [text] })

t.test("a tenant's slow constraints keep no other waiting", async (t) => {
  const trials = new Trials(1500, 256 << 20)
  t.teardown(() => trials.close())
  const vocabulary = ofBytes()
  await Promise.all(['a', 'b'].map((tenant) => trials.run(choice('warm'), vocabulary, tenant)))
  const ended: string[] = []
  const run = (name: string, text: string, tenant: string | undefined) =>
    trials.run(text, vocabulary, tenant).then(
      () => ended.push(name),
      () => ended.push(`${name} refused`),
    )
  const slow = [1, 2, 3].map((i) => run(`slow ${i}`, SLOW, 'a'))
  const quick = [1, 2, 3].map((i) => run(`quick ${i}`, choice(`x${i}`), 'b'))
  await Promise.all(quick)
  t.same(ended, ['quick 1', 'quick 2', 'quick 3'], 'they do not wait for one of those')
  await Promise.all(slow)
  t.same(ended.slice(3), ['slow 1 refused', 'slow 2 refused', 'slow 3 refused'])
  // Where nobody says whose they are, both threads are theirs.
  const started = performance.now()
  await Promise.all([run('third', SLOW, undefined), run('fourth', SLOW, undefined)])
  t.ok(performance.now() - started < 2900, 'two at once')
})

t.test('what is too large is refused without being written down', (t) => {
  const large: Record<string, unknown> = {
    'a long text': { enum: ['x'.repeat(16 << 20)] },
    'many texts': { enum: Array.from({ length: 400_000 }, (_, i) => `value ${i}`) },
    'a long list': { enum: Array.from({ length: 4_000_000 }, () => 0) },
    'many names': Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => [`p${i}`, {}])),
  }
  for (const [what, schema] of Object.entries(large)) {
    // The best of three: others work on this machine as well.
    let took = Number.POSITIVE_INFINITY
    for (let i = 0; i < 3; i++) {
      const started = performance.now()
      try {
        textOf({ kind: 'json', schema: schema as object }, 'it')
      } catch {}
      took = Math.min(took, performance.now() - started)
    }
    t.throws(() => textOf({ kind: 'json', schema: schema as object }, 'it'), { message: /too long/, param: 'it' }, what)
    // To see an object's names at all takes longer.
    if (what !== 'many names') t.ok(took < 30, `${what}: ${took.toFixed(1)} ms`)
  }
  t.throws(() => textOf({ kind: 'json', schema: { const: Number.POSITIVE_INFINITY } }, 'it'), /too large to be known/)
  let deep: object = {}
  for (let i = 0; i < 60_000; i++) deep = { not: deep }
  t.throws(() => textOf({ kind: 'json', schema: deep }, 'it'), /nested too deeply/)
  t.equal(textOf({ kind: 'choice', choices: ['a'] }, 'it'), '{"kind":"choice","choices":["a"]}')
  t.end()
})
