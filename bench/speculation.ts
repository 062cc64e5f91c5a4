/**
 * Speculative decoding by prompt lookup against the same engine without it, on the 135M shape with 2 threads, float32. The model's next token is known (chain-model.ts), so that a prompt can hold what the answer
 * will be, all of it or with mistakes, or something that only looks like it:
 *   repeats   the answer stands in the prompt
 *   edits     it does, but for every 12th token
 *   elsewhere nothing of it does
 *   misleads  every three tokens of it do, and each time another one follows
 * Turns alternate; the ratio is that of the middle times. `node dist/bench/speculation.js [--rounds 5] [--tokens 96] [--drafts 4] [--clients 1,4,16]`
 */
import { parseArgs } from 'node:util'
import { type Engine, startEngine } from '../runtime/index.ts'
import { greedy } from '../test/support/greedy.ts'
import { chain, chainModel, nextOf } from './chain-model.ts'
import { SHAPE } from './model135m.ts'
import { against, heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '96' },
    drafts: { type: 'string', default: '4' },
    clients: { type: 'string', default: '1,4,16' },
  },
})
const [rounds, tokens, drafts] = [Number(values.rounds), Number(values.tokens), Number(values.drafts)]
const clients = values.clients.split(',').map(Number)
const EDIT_EVERY = 12
const other = (token: number) => (token * 31 + 17) % SHAPE.vocabulary

/** Prompts by what the answer to them is; each ends with the token before the answer. */
const KINDS: Record<string, { promptOf: (first: number) => number[]; least: (clients: number) => number }> = {
  repeats: { promptOf: (first) => [...chain(first, tokens), first], least: (n) => (n === 1 ? 1.3 : 0.97) },
  edits: {
    promptOf: (first) => [
      ...chain(first, tokens).map((token, i) => (i % EDIT_EVERY === EDIT_EVERY - 1 ? other(token) : token)),
      first,
    ],
    least: () => 0.97,
  },
  elsewhere: { promptOf: (first) => [...chain(first, tokens).map(other), first], least: () => 0.97 },
  misleads: {
    promptOf: (first) => {
      const prompt: number[] = []
      for (const token of chain(first, tokens / 4)) prompt.push(...chain(token, 3), other(token))
      return [...prompt, first]
    },
    least: () => 0.97,
  },
}

const settings = {
  modelDir: chainModel(),
  device: 'cpu',
  dtype: 'float32',
  adapterDtype: 'float16',
  poolBytes: 512 << 20,
  maxBatchTokens: 512,
  maxSequences: 32,
  maxModelLen: 1024,
  threads: 2,
  prefixCache: true,
} as const
console.log(heading(`Speculative decoding: ${tokens} tokens for each client, drafts of ${drafts}`))
const plain = await startEngine(settings)
const drafting = await startEngine({ ...settings, speculation: { tokens: drafts, shortest: 3, longest: 5 } })
let asked = 0

/** Tokens a second once all prompts are computed: what is measured is decoding. Throws where an answer is not the chain. */
async function turn(engine: Engine, prompts: number[][]): Promise<number> {
  let begun = 0
  let waiting = prompts.length
  await Promise.all(
    prompts.map((promptIds) => {
      const got: number[] = []
      return new Promise<void>((resolve, reject) => {
        engine.submit({ id: `${asked++}`, promptIds, adapters: [], arrival: Date.now(), sampling: greedy(tokens) }, (output) => {
          if (got.length === 0 && output.tokens.length > 0 && --waiting === 0) begun = performance.now()
          got.push(...output.tokens)
          if (!output.finish) return
          const expected = chain(nextOf(promptIds[promptIds.length - 1]), tokens)
          if (got.every((token, i) => token === expected[i])) resolve()
          else reject(new Error(`an answer is not the chain: ${got} instead of ${expected}`))
        })
      })
    }),
  )
  return (prompts.length * (tokens - 1)) / (performance.now() - begun)
}

const rows: (string | number)[][] = []
const verdicts: string[] = []
for (const [kind, { promptOf, least }] of Object.entries(KINDS))
  for (const count of clients) {
    const without: number[] = []
    const speculated: number[] = []
    const before = { ...drafting.snapshot.counters }
    for (let round = 0; round <= rounds; round++) {
      const prompts = Array.from({ length: count }, (_, i) => promptOf((round * 997 + i * 131 + 5) % SHAPE.vocabulary))
      const first = await turn(plain, prompts)
      const second = await turn(drafting, prompts)
      // The first round is learned from.
      if (round === 0) continue
      without.push(first)
      speculated.push(second)
    }
    const { draftTokens, acceptedTokens } = drafting.snapshot.counters
    const drafted = draftTokens - before.draftTokens
    const ratio = median(speculated) / median(without)
    const stayed = drafted ? `${Math.round((100 * (acceptedTokens - before.acceptedTokens)) / drafted)} %` : ''
    rows.push([
      kind,
      count,
      (1000 * median(without)).toFixed(1),
      (1000 * median(speculated)).toFixed(1),
      ratio.toFixed(2),
      drafted,
      stayed,
    ])
    verdicts.push(
      against(`${kind}, ${count} client${count > 1 ? 's' : ''}: ${ratio.toFixed(2)} × ≥ ${least(count)}`, ratio >= least(count)),
    )
  }
console.log(table(['the answer', 'clients', 'tokens/s without', 'with', 'ratio', 'drafted tokens', 'stayed'], rows))
console.log(`\n${verdicts.join('\n')}`)
await Promise.all([plain.close(), drafting.close()])
