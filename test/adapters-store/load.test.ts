/** Every method, folded and packed, against what PEFT's own modules compute (test/fixtures/peft). */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterDtype } from '../../adapters-store/types.ts'
import { fixture } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import { differences } from './expected.ts'

const FIXTURES = fixture('peft')
/** Relative to the largest output: float32 sums; 11 and 8 bits of mantissa, and as much again for their accumulation; an int8 row's largest is 127. */
const TOLERANCE: Record<AdapterDtype, number> = { float32: 1e-5, float16: 2e-3, bfloat16: 1.6e-2, int8: 1.6e-2 }

for (const family of ['biased', 'tied', 'tied-biased']) {
  const base = baseModelOf(join(FIXTURES, family, 'base'))
  const adapters = join(FIXTURES, family, 'adapters')
  for (const name of readdirSync(adapters)) {
    for (const dtype of ['float32', 'float16', 'bfloat16', 'int8'] as const) {
      t.test(`${family}/${name} in ${dtype} computes what PEFT computes`, async (t) => {
        const image = loadAdapter(name, join(adapters, name), base, { dtype, blockBytes: 1024 })
        for (const { module, relative } of differences(base, image, join(adapters, name))) {
          t.ok(relative <= TOLERANCE[dtype], `${module}: ${relative}`)
        }
      })
    }
  }
}
