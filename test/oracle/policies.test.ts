/**
 * Who runs next, and with what, changes no answer: under every policy, on a pool so small that adapters, prefixes and sequences are put out and brought back, twice over so that prefixes are found, every case
 * is still transformers + PEFT's.
 */
import t from 'tap'
import { hasRanks } from '../../adapters-store/ranks.ts'
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { EngineSettings, SequenceRequest } from '../../runtime/types.ts'
import { failures, idleComplaints, OracleFamily, oracleFamilies } from '../support/oracle.ts'

interface Policy {
  settings: Partial<EngineSettings>
  terms?: (i: number, adapter: string) => Pick<SequenceRequest, 'flow' | 'priority' | 'firstTokenMs'>
  /** Asked of each adapter; more than any has. */
  rank?: number
}

const POLICIES: Record<string, Policy> = {
  'first come, first served': { settings: {} },
  'adapters clustered': { settings: { adapterCluster: 2 } },
  priorities: { settings: {}, terms: (i) => ({ priority: (i * 7) % 5 }) },
  'fair among tenants': { settings: { fair: true }, terms: (i) => ({ flow: `tenant-${i % 3}` }) },
  'fair among adapters': { settings: { fair: true, adapterCluster: 3 }, terms: (_, flow) => ({ flow }) },
  'first tokens by a time': { settings: {}, terms: () => ({ firstTokenMs: 600_000 }) },
  'the next step planned ahead': { settings: { asyncScheduling: true, fair: true }, terms: (i) => ({ flow: `${i % 4}` }) },
  'with drafts': { settings: { speculation: { tokens: 4, shortest: 1, longest: 3 } } },
  'with drafts, planned ahead': { settings: { asyncScheduling: true, speculation: { tokens: 3, shortest: 1, longest: 2 } } },
  'each adapter at its full rank': { settings: {}, rank: 100_000 },
}
/** One with tied and one with untied weights, one with sliding windows; LORIKEET_ORACLE=DIR: all there are. */
const families = oracleFamilies().filter((name) => process.env.LORIKEET_ORACLE || ['llama', 'gemma2', 'qwen3'].includes(name))

for (const name of families) {
  const family = new OracleFamily(name)
  for (const [policy, { settings, terms, rank }] of Object.entries(POLICIES))
    t.test(`${name}: ${policy}`, async (t) => {
      const engine = await family.start(family.leastBlocks + 2, { maxBatchTokens: 24, ...settings })
      t.teardown(() => engine.close())
      const round = (which: string) =>
        Promise.all(
          family.cases.map((one, i) => {
            // Where all that it changes is rank rows; others take no rank.
            const ranked = (name: string) => rank !== undefined && hasRanks(family.images.get(name) as AdapterImage)
            const uses = family.usesOf(one).map((use) => (ranked(use.name) ? { ...use, rank } : use))
            return family.runWith(engine, one, uses, `${which}-${i}`, {}, terms?.(i, one.name))
          }),
        )
      t.same(failures([...(await round('first')), ...(await round('second'))]), [], 'logits and greedy tokens')
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [], 'pool accounting')
      const { counters } = engine.snapshot
      t.ok(counters.adapterEvictions > 0, `adapters were put out (${counters.adapterEvictions})`)
      t.ok(counters.prefixEvictions > 0, `prefixes were (${counters.prefixEvictions})`)
      t.ok(counters.preemptions > 0, `sequences were (${counters.preemptions})`)
      t.equal(counters.failedSteps, 0)
    })
}
