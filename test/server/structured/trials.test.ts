/** Whose constraints are tried when many come, and constraints that are too large: nobody waits for another's slow ones. */
import t from 'tap'
import type { Constraint } from '../../../server/structured/constraint.ts'
import { textOf } from '../../../server/structured/constraint-text.ts'
import { Trials } from '../../../server/structured/trials.ts'
import { ofBytes } from '../../support/matching.ts'

const SLOW = JSON.stringify({ kind: 'regex', pattern: '((((a{0,200}b|c){0,200}d|e){0,200}f|g){0,200}h|i){0,200}' })
const choice = (text: string) => JSON.stringify({ kind: 'choice', choices: [text] })

/** Milliseconds of the fastest of five times: others work on this machine as well. */
function fastest(work: () => void): number {
  const times = Array.from({ length: 5 }, () => {
    const started = performance.now()
    work()
    return performance.now() - started
  })
  return Math.min(...times)
}

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
  // Where nobody says whose they are, none is kept for another.
  const anybodys = [run("anybody's slow one", SLOW, undefined), run("anybody's quick one", choice('y'), undefined)]
  await Promise.all(anybodys)
  t.same(ended.slice(6), ["anybody's quick one", "anybody's slow one refused"], 'two at once')
})

t.test('what is too large is refused without being written down', (t) => {
  const large: Record<string, unknown> = {
    'a long text': { enum: ['x\n'.repeat(8 << 20)] },
    'many texts': { enum: Array.from({ length: 400_000 }, (_, i) => `value ${i}`) },
    'a long list': { enum: Array.from({ length: 4_000_000 }, () => 0) },
    'many names': Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => [`p${i}`, {}])),
  }
  for (const [what, schema] of Object.entries(large)) {
    const constraint: Constraint = { kind: 'json', schema: schema as object }
    const told = fastest(() => {
      try {
        textOf(constraint, 'it')
      } catch {}
    })
    const written = fastest(() => JSON.stringify(constraint))
    t.throws(() => textOf(constraint, 'it'), { message: /too long/, param: 'it' }, what)
    // To see an object's names at all takes longer.
    if (what !== 'many names') t.ok(told < written / 2, `${what}: ${told.toFixed(1)} ms, and ${written.toFixed(1)} to write it`)
  }
  t.throws(() => textOf({ kind: 'json', schema: { const: Number.POSITIVE_INFINITY } }, 'it'), /too large to be known/)
  let deep: object = {}
  for (let i = 0; i < 60_000; i++) deep = { not: deep }
  t.throws(() => textOf({ kind: 'json', schema: deep }, 'it'), /nested too deeply/)
  t.equal(textOf({ kind: 'choice', choices: ['a'] }, 'it'), '{"kind":"choice","choices":["a"]}')
  t.end()
})
