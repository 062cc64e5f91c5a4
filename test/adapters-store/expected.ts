/** expected.safetensors of a fixture (see test/fixtures/peft/make_fixtures.py), and how far an image is from it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSafetensorsHeader } from '../../adapters-store/checkpoint/index.ts'
import type { AdapterImage, BaseModel } from '../../adapters-store/types.ts'
import { adaptedOutput } from './apply-image.ts'

export interface Difference {
  module: string
  /** Largest |y − expected| over the largest |expected|. */
  relative: number
}

/** One per module of the base, adapted or not. */
export function differences(base: BaseModel, image: AdapterImage, folder: string): Difference[] {
  const file = join(folder, 'expected.safetensors')
  const header = readSafetensorsHeader(file)
  const bytes = readFileSync(file)
  const words = (name: string) => {
    const { offset, length } = header.get(name)!
    return new Uint8Array(bytes.subarray(offset, offset + length)).buffer
  }
  return base.sites.map((site) => {
    const y = new Float32Array(words(`${site.module}.y`))
    const x = site.kind === 'embedding' ? new Int32Array(words(`${site.module}.x`)) : new Float32Array(words(`${site.module}.x`))
    const count = y.length / site.outFeatures
    let worst = 0
    for (let n = 0; n < count; n++) {
      const input = x instanceof Int32Array ? x[n] : x.subarray(n * site.inFeatures, (n + 1) * site.inFeatures)
      const output = adaptedOutput(base, image, site, input)
      output.forEach((value, o) => {
        const distance = Math.abs(value - y[n * site.outFeatures + o])
        if (!(distance <= worst)) worst = distance // NaN counts as the worst
      })
    }
    return { module: site.module, relative: worst / y.reduce((most, value) => Math.max(most, Math.abs(value)), 0) }
  })
}
