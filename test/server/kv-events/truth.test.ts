/** What an independent client of KV events (Python: pyzmq, msgspec) believes to be cached is exactly what is, while adapters swap in a pool that is too small for them. */
import path from 'node:path'
import t from 'tap'
import { request } from '../../support/http.ts'
import { noKvIndex, type Told } from '../../support/kv-index.ts'
import { inFlight, seeded } from '../../support/pace.ts'
import { compare, complete, STYLES, start } from './indexed.ts'

const skip = noKvIndex()

for (const most of [1000, 1])
  t.test(`adapters swap in a pool that is too small for them, ${most} batches before the publisher`, { skip }, async (t) => {
    const { served, folder, index } = await start(t, { max_queue_size: most })
    const { url, serving } = served
    const random = seeded(7 + most)
    const put = (name: string, style: string) =>
      request(`${url}/adapters`, { body: JSON.stringify({ name, src: path.join(folder, style), replace: true }) })
    const names = [...STYLES, 'swapped']
    const wrong: string[] = []
    let n = 0
    let last: Told | undefined
    for (let round = 0; round < 3; round++) {
      let over = false
      const load = inFlight(Array.from({ length: 40 }), 12, async () => {
        const i = n++
        const model = i % 4 === 0 ? 'demo' : random.pick(names)
        const { status, body } = await complete(served, model, i)
        if (status !== 200 && status !== 404) wrong.push(`${model}: ${status} ${JSON.stringify(body)}`)
      }).finally(() => {
        over = true
      })
      const swaps = async () => {
        while (!over) {
          // The same name with other weights: in place, and after it was gone.
          const name = random.pick(names)
          if (random.below(3) === 0) await request(`${url}/adapters/${name}`, { method: 'DELETE' })
          const { status, text } = await put(name, random.pick(STYLES))
          if (status !== 200) wrong.push(text)
        }
      }
      const looks = async () => {
        while (!over) await compare(t, url, index, `round ${round}, under load`)
      }
      await Promise.all([load, swaps(), looks()])
      await serving.engine.idle()
      last = await compare(t, url, index, `round ${round}`)
      const { adapters } = (await request(`${url}/adapters`)).json as { adapters: { digest: string | null }[] }
      const digests = new Set(adapters.map(({ digest }) => digest))
      const gone = last.keys.filter((keys) => !digests.has((JSON.parse(keys) as string[])[1]))
      t.same(gone, [], 'nothing is believed of weights that no name stands for')
    }
    t.same(wrong, [])
    t.match(last, { anew: 0, lost: 0, cleared: 1 })
    const { adapterEvictions, prefixEvictions, preemptions, failedSteps } = serving.engine.snapshot.counters
    const pressed = `${adapterEvictions} adapters and ${prefixEvictions} blocks put out, ${preemptions} preemptions`
    t.ok(adapterEvictions > 0 && prefixEvictions > 0 && preemptions > 0, pressed)
    t.equal(failedSteps, 0)
    for (const { name } of (await request(`${url}/adapters`)).json.adapters as { name: string }[])
      t.equal((await request(`${url}/adapters/${name}`, { method: 'DELETE' })).status, 200)
    await serving.engine.idle()
    t.same((await compare(t, url, index, 'without adapters')).keys, [])
    t.same(await served.idleComplaints(), [])
  })
