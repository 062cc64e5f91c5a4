/** Adapters beyond what fits take turns: two hot ones whose requests never cease hold nobody back beyond a bound. */
import t from 'tap'
import { OVERTAKE_LIMIT } from '../../../runtime/scheduler/queue.ts'
import { seeded } from '../../support/pace.ts'
import { ToyCore, type ToySettings, toyImage, use } from '../../support/toy-core.ts'

/** Requests of hot adapters that wait at any time. */
const BACKLOG = 40
const ROWS = 8
const MODES: Record<string, { settings: Partial<ToySettings>; flows: boolean; most: number }> = {
  // Those that were there before it, those that may go ahead of it, and those of the step in which it is admitted.
  fcfs: { settings: {}, flows: false, most: BACKLOG + OVERTAKE_LIMIT + ROWS },
  'fcfs, clustered': { settings: { adapterCluster: 2 }, flows: false, most: BACKLOG + OVERTAKE_LIMIT + ROWS },
  // Whoever has had nothing is next: others come ahead of it only while rows and blocks become free.
  'fair among adapters': { settings: { fair: true }, flows: true, most: ROWS },
  'fair among adapters, clustered': { settings: { fair: true, adapterCluster: 2 }, flows: true, most: ROWS + OVERTAKE_LIMIT },
}

for (const [mode, { settings, flows, most }] of Object.entries(MODES))
  t.test(mode, async (t) => {
    // Of 32 adapters of three blocks the pool holds five at most beside the tokens of eight.
    const toy = new ToyCore({ blockCount: 40, maxSequences: ROWS, maxBatchTokens: 64, prefixCache: false, ...settings })
    const images = Array.from({ length: 32 }, (_, i) => toyImage(`adapter-${i}`, 3))
    for (const image of images) toy.core.addAdapter(image)
    const random = seeded(9)
    let id = 0
    const ask = (i: number) => {
      const name = `${i < 2 ? 'hot' : 'cold'}:${id++}`
      const image = images[i]
      const flow = flows ? { flow: image.name } : {}
      toy.submit(name, [1 + random.below(50), 2, 3, 4], [use(image)], { maxTokens: 6 + random.below(12), ignoreEos: true }, flow)
      return name
    }
    const { scheduler } = toy.core
    const waitingIds = () => new Set(scheduler.waiting.first(1000).map(({ request }) => request.id))
    const waits: number[] = []
    for (let cold = 2; cold < 32; cold++) {
      while (scheduler.waiting.length < BACKLOG) ask(random.below(2))
      const name = ask(cold)
      let ahead = 0
      for (let before = waitingIds(); before.has(name); ) {
        await toy.step()
        while (scheduler.waiting.length < BACKLOG) ask(random.below(2))
        const after = waitingIds()
        for (const one of before) if (!after.has(one) && one !== name) ahead++
        before = after
        if (ahead > 1000) break
      }
      waits.push(ahead)
    }
    t.ok(Math.max(...waits) <= most, `admitted ahead of a cold one: ${Math.max(...waits)} at most, of ${most}`)
    t.ok(toy.core.pool.adapters.evictions > 20, `adapters took turns (${toy.core.pool.adapters.evictions})`)
    await toy.drain()
    t.equal([...toy.outputs.values()].filter((told) => told.at(-1)?.finish === 'length').length, id, 'all are whole')
  })
