/** What the kernels make of an AdapterImage at one site, in float64 and by the book (adapters-store/types.ts), for comparison with PEFT. */
import { readFileSync } from 'node:fs'
import { rowStart } from '../../adapters-store/pages.ts'
import { type AdapterImage, type BaseModel, ENTRY, ENTRY_FIELDS, type Site } from '../../adapters-store/types.ts'
import { decodeFloats, elementBytes } from '../../native/floats.ts'

export function tensorValues(base: BaseModel, name: string): Float32Array {
  const { file, offset, length, dtype, shape } = base.tensors[name]
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
  decodeFloats(dtype as 'float32', readFileSync(file).subarray(offset, offset + length), values)
  return values
}

export function entryOf(image: AdapterImage, site: Site): Int32Array | undefined {
  for (let e = 0; e < image.entries.length; e += ENTRY_FIELDS) {
    if (image.entries[e + ENTRY.site] === site.index) return image.entries.subarray(e, e + ENTRY_FIELDS)
  }
  return undefined
}

/** Row `ordinal` of the image as `length` values of its type. */
export function imageRow(image: AdapterImage, ordinal: number, length: number, dtype = image.dtype): Float32Array {
  const start = rowStart(image, ordinal)
  if (dtype === 'int8') return Float32Array.from(new Int8Array(image.image, start, length))
  const values = new Float32Array(length)
  decodeFloats(dtype, new Uint8Array(image.image).slice(start, start + length * elementBytes(dtype)), values)
  return values
}

/** What h_j is multiplied by, or the row itself where there is no B: int8 rows have scales. */
function scalesOf(image: AdapterImage, entry: Int32Array): Float32Array {
  const rank = entry[ENTRY.rank]
  return image.dtype === 'int8' && rank > 0
    ? imageRow(image, entry[ENTRY.a] + rank, rank, 'float32')
    : new Float32Array(rank).fill(1)
}

function indexRow(image: AdapterImage, ordinal: number, length: number): Int32Array {
  const start = rowStart(image, ordinal)
  return new Int32Array(new Uint8Array(image.image).slice(start, start + 4 * length).buffer)
}

/** y of the adapted site for one row of input (a token id for the table). */
export function adaptedOutput(base: BaseModel, image: AdapterImage, site: Site, x: Float32Array | number): Float64Array {
  const weights = tensorValues(base, site.weight)
  const entry = entryOf(image, site)
  return typeof x === 'number' ? embedded(image, site, weights, entry, x) : projected(base, image, site, weights, entry, x)
}

function embedded(
  image: AdapterImage,
  site: Site,
  weights: Float32Array,
  entry: Int32Array | undefined,
  token: number,
): Float64Array {
  const { inFeatures, outFeatures } = site
  const y = Float64Array.from(weights.subarray(token * outFeatures, (token + 1) * outFeatures))
  if (!entry) return y
  const rank = entry[ENTRY.rank]
  const scales = scalesOf(image, entry)
  const add = (row: Float32Array, factor: number) =>
    row.forEach((value, i) => {
      y[i] += factor * value
    })
  if (entry[ENTRY.b] >= 0) {
    for (let j = 0; j < rank; j++)
      add(imageRow(image, entry[ENTRY.b] + j, outFeatures), scales[j] * imageRow(image, entry[ENTRY.a] + j, inFeatures)[token])
    return y
  }
  const index = entry[ENTRY.index] < 0 ? undefined : indexRow(image, entry[ENTRY.index], rank)
  const j = index ? index.indexOf(token) : token
  if (j >= 0) add(imageRow(image, entry[ENTRY.a] + j, outFeatures), scales[j])
  return y
}

function projected(
  base: BaseModel,
  image: AdapterImage,
  site: Site,
  weights: Float32Array,
  entry: Int32Array | undefined,
  x: Float32Array,
) {
  const { inFeatures, outFeatures } = site
  const vector = (field: number, length: number) =>
    entry && entry[field] >= 0 ? imageRow(image, entry[field], length, 'float32') : undefined
  const inScale = vector(ENTRY.inScale, inFeatures)
  const input = Float64Array.from(x, (value, i) => value * (inScale ? inScale[i] : 1))
  const dot = (row: Float32Array) => row.reduce((sum, value, i) => sum + value * input[i], 0)
  const y = Float64Array.from({ length: outFeatures }, (_, o) => dot(weights.subarray(o * inFeatures, (o + 1) * inFeatures)))
  if (site.bias)
    tensorValues(base, site.bias).forEach((value, o) => {
      y[o] += value
    })
  if (!entry) return y
  const rank = entry[ENTRY.rank]
  const index = entry[ENTRY.index] < 0 ? undefined : indexRow(image, entry[ENTRY.index], rank)
  const scales = scalesOf(image, entry)
  for (let j = 0; j < rank; j++) {
    const h = scales[j] * dot(imageRow(image, entry[ENTRY.a] + j, inFeatures))
    if (entry[ENTRY.b] < 0) y[index ? index[j] : j] += h
    else
      imageRow(image, entry[ENTRY.b] + j, outFeatures).forEach((value, o) => {
        y[o] += h * value
      })
  }
  const outScale = vector(ENTRY.outScale, outFeatures)
  const bias = vector(ENTRY.bias, outFeatures)
  return y.map((value, o) => value * (outScale ? outScale[o] : 1) + (bias ? bias[o] : 0))
}
