/** Time to the first token of an adapter that is not in the pool, its bytes in host memory. */
import type { AdapterImage } from '../../adapters-store/index.ts'
import type { Engine } from '../../runtime/index.ts'
import { median, sleep } from '../report.ts'
import { generateAll, promptOf } from './engine.ts'
import type { Results } from './results.ts'

const PROMPT = 16
/** Until an image that was given to the engine is pinned. */
const PINNING_MS = 200
const TARGET_MS = 10

/** Milliseconds from submitting one short prompt to an idle engine until its first token. */
async function firstToken(engine: Engine, image: AdapterImage, seed: number): Promise<number> {
  const adapter = { name: image.name, digest: image.digest }
  const begin = performance.now()
  let took = Number.NaN
  const ask = { promptIds: promptOf(90_000 + seed, PROMPT, engine.info.vocabSize), newTokens: 2, adapter }
  await generateAll(engine, [ask], () => {
    took = performance.now() - begin
  })
  await engine.idle()
  return took
}

/** The images in turn: taken out of the engine and given back, each is cold again; beside it the same with one that is resident. */
export async function measureCold(engine: Engine, images: AdapterImage[], count: number, results: Results): Promise<void> {
  // The first short prefill makes what later ones find.
  for (let i = 0; i < 2; i++) await firstToken(engine, images[0], 50 + i)
  const loads = engine.snapshot.counters.adapterLoads
  const cold: number[] = []
  for (let i = 0; i < count; i++) {
    const image = images[i % images.length]
    engine.removeAdapter(image.digest)
    await sleep(20)
    engine.addAdapter(image)
    await sleep(PINNING_MS)
    cold.push(await firstToken(engine, image, i))
  }
  const loaded = engine.snapshot.counters.adapterLoads - loads
  const warm: number[] = []
  for (let i = 0; i < count; i++) warm.push(await firstToken(engine, images[(count - 1) % images.length], 100 + i))
  results.number('first_token', { cold, warm, loaded })
  const megabytes = (images[0].image.byteLength / 1e6).toFixed(0)
  if (loaded < count) return results.row('first token, cold adapter', 'FAILED', `only ${loaded} of ${count} were cold`)
  const value = `${median(cold).toFixed(2)} ms (resident ${median(warm).toFixed(2)} ms; ${megabytes} MB each)`
  results.target('cold', 'first token, cold adapter', value, median(cold) <= TARGET_MS, `≤ ${TARGET_MS} ms`)
}
