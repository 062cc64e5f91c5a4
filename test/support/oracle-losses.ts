/** What a precision loses on the oracle's cases: tiny random models, whose logits lie close, so that tokens change early. */
import type { EngineSettings } from '../../runtime/types.ts'
import { OracleFamily } from './oracle.ts'

export interface Losses {
  /** Of each case, the largest error of a logit after the prompt's last token as a part of the logits' spread. */
  errors: number[]
  /** Greedy tokens before the first that differs, and all of them. */
  kept: number
  tokens: number
  /** Cases of which every token is kept. */
  whole: number
}

/** Every case of these families, all of a family in flight at once, with adapter rows in float32. */
export async function oracleLosses(families: string[], settings: Partial<EngineSettings>): Promise<Losses> {
  const losses: Losses = { errors: [], kept: 0, tokens: 0, whole: 0 }
  for (const name of families) {
    const family = new OracleFamily(name)
    const engine = await family.start(family.ampleBlocks, settings)
    const verdicts = await family.runAll(engine)
    await engine.close()
    for (const [i, { row }] of family.cases.entries()) {
      const { error, logitsError, agreed } = verdicts[i]
      if (error) throw new Error(`${name}: ${error}`)
      losses.errors.push(logitsError / (Math.max(...row.logits) - Math.min(...row.logits)))
      losses.kept += agreed
      losses.tokens += row.greedy.length
      if (agreed === row.greedy.length) losses.whole++
    }
  }
  return losses
}
