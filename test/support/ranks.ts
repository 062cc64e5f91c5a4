/** Adapters with some of their ranks (test/fixtures/ranks), on either device. */
import path from 'node:path'
import type { Test } from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { AdapterUse, Engine } from '../../runtime/types.ts'
import { failures, type OracleFamily, oracleRoot, type Verdict } from './oracle.ts'
import { fixture, readJson } from './repo.ts'

interface RankCase {
  uses: { name: string; weight: number; rank?: number }[]
  name: string
  row: OracleFamily['cases'][number]['row']
}

export class RankOracle {
  readonly images = new Map<string, AdapterImage>()
  readonly cases: RankCase[]
  private readonly family: OracleFamily

  /** `family`: llama-heads16's. */
  constructor(family: OracleFamily, rankOrder: 'own' | 'svd' = 'own') {
    this.family = family
    type Golden = Record<string, RankCase['row'][]>
    const golden =
      rankOrder === 'own'
        ? readJson<Golden>(fixture('ranks/golden.json'))
        : readJson<{ golden: Golden }>(fixture('ranks/svd.json')).golden
    this.cases = Object.entries(golden).flatMap(([name, rows]) =>
      rows.map((row) => ({ name, uses: name.split(', ').map(useOf), row })),
    )
    const { blockBytes, frameBytes, adapterDtype: dtype } = family
    const options = { dtype, blockBytes, frameBytes, rankOrder }
    const load = (folder: string, names: Iterable<string>) => {
      for (const name of names) family.images.set(name, loadAdapter(name, path.join(folder, name), family.model.base, options))
    }
    if (rankOrder === 'svd') load(path.join(oracleRoot(), 'llama-heads16/adapters'), [...family.images.keys()])
    load(fixture('ranks/adapters'), ['two-blocks', 'pattern'])
  }

  uses(of: RankCase['uses']): AdapterUse[] {
    return of.map((use) => ({ ...use, digest: this.family.images.get(use.name)!.digest }))
  }

  /** All at once. */
  run(engine: Engine, round: string): Promise<Verdict[]> {
    return Promise.all(this.cases.map((one, i) => this.family.runWith(engine, one, this.uses(one.uses), `${round}-${i}`)))
  }
}

/** `name;w=0.5;rank=3` */
function useOf(text: string): RankCase['uses'][number] {
  const [name, ...parameters] = text.split(';')
  const values = new Map(parameters.map((one) => one.split('=') as [string, string]))
  const rank = values.get('rank')
  return { name, weight: Number(values.get('w') ?? 1), ...(rank !== undefined && { rank: Number(rank) }) }
}

/** Against PEFT, alone and all at once and again from cached prefixes. */
export async function checkRanks(
  t: Test,
  family: OracleFamily,
  tolerance: number,
  rankOrder: 'own' | 'svd' = 'own',
): Promise<void> {
  const oracle = new RankOracle(family, rankOrder)
  const engine = await family.start(family.ampleBlocks + 64)
  t.teardown(() => engine.close())
  const alone: Verdict[] = []
  for (const [i, one] of oracle.cases.entries())
    alone.push(await family.runWith(engine, one, oracle.uses(one.uses), `alone-${i}`, { maxTokens: one.row.greedy.length }))
  t.same(failures(alone, tolerance), [], 'alone')
  const tokens = (verdicts: Verdict[]) => verdicts.map((verdict) => verdict.tokens)
  for (const round of ['together', 'again']) {
    const verdicts = await oracle.run(engine, round)
    t.same(failures(verdicts, tolerance), [], round)
    t.same(tokens(verdicts), tokens(alone), `${round}: the same tokens`)
  }
  // Would a rank too many or too few be told from the right one?
  for (const one of oracle.cases.filter(({ uses: [{ rank }] }) => rank !== undefined && rank < 8)) {
    const off = oracle.uses(one.uses).map((use, i) => (i === 0 ? { ...use, rank: (use.rank as number) + 1 } : use))
    t.not(failures([await family.runWith(engine, one, off, 'off')], tolerance).length, 0, `${one.name}: not with a rank more`)
  }
  await engine.idle()
  t.equal(engine.snapshot.counters.failedSteps, 0)
}
