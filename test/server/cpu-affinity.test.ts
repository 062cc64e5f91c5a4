/** Where the threads of a server with --cpu-affinity are, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { allowedCpus } from '../../runtime/cores.ts'
import { cpuList } from '../../runtime/cpu-affinity.ts'
import { configOf } from '../../server/config/config.ts'
import { engineSettings } from '../../server/config/engine-settings.ts'
import { demoModel } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

/** What the server takes: two CPUs where there are two. */
const cpus = allowedCpus().slice(-2)

/** The CPUs that each thread of this process may use. */
function threadsMayUse(): number[][] {
  return readdirSync('/proc/self/task').flatMap((task) => {
    try {
      const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(`/proc/self/task/${task}/status`, 'utf8')) ?? []
      return [cpuList(list ?? '') ?? []]
    } catch {
      return [] // it ended meanwhile
    }
  })
}
const pinnedTo = (cpu: number) => threadsMayUse().filter((list) => list.length === 1 && list[0] === cpu).length

t.test(
  'each computing thread stays on its CPU, and no other thread is pinned',
  { skip: cpus.length < 2 && 'two CPUs are needed to tell' },
  async (t) => {
    const before = threadsMayUse().length
    const served = await startServed(t, { model: demoModel('base'), 'served-model-name': 'demo', 'cpu-affinity': cpus.join() })
    const { status, body } = await served.post('/v1/completions', { model: 'demo', prompt: 'The', max_tokens: 4, temperature: 0 })
    t.equal(status, 200)
    t.equal(body.usage.completion_tokens, 4)
    for (const cpu of cpus) t.equal(pinnedTo(cpu), 1, `one thread on CPU ${cpu}`)
    t.ok(threadsMayUse().length > before + cpus.length, 'there are others')
    t.equal(threadsMayUse().filter((list) => list.length === 1).length, cpus.length)
  },
)

t.test('CPUs that cannot be had end the start', async (t) => {
  const settings = (flags: Parameters<typeof configOf>[0]) => () => engineSettings(configOf(flags), 'cpu', '')
  t.throws(settings({ 'cpu-affinity': '99999' }), {
    message: /--cpu-affinity 99999: this process may not use CPU 99999; it may use /,
  })
  t.throws(settings({ 'cpu-affinity': '0-' }), { message: /must be auto or a list of CPUs/ })
  t.throws(settings({ 'cpu-affinity': `${cpus[0]}`, threads: '2' }), { message: /1 CPUs for --threads 2/ })
})
