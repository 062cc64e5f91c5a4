import t from 'tap'
import { LatencyWindow } from '../../../server/ui/latency.ts'

t.test('quantiles within 5 %, of what has come since the last time', async (t) => {
  const window = new LatencyWindow()
  t.same(window.take(), { count: 0, p50: null, p99: null })
  const times = Array.from({ length: 1000 }, (_, i) => 0.0002 * 1.01 ** i)
  for (const seconds of times) window.add(seconds)
  const { count, p50, p99 } = window.take()
  t.equal(count, 1000)
  for (const [told, exact] of [
    [p50, times[499]],
    [p99, times[989]],
  ] as const)
    t.ok(Math.abs((told as number) / (exact * 1000) - 1) < 0.05, `${told} for ${exact * 1000}`)
  t.same(window.take(), { count: 0, p50: null, p99: null }, 'begins anew')
  for (const seconds of [0, -1, 1e9]) window.add(seconds)
  t.equal(window.take().count, 3, 'what is out of range counts at the ends')
})
