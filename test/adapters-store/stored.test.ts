/** What adapters are folded from where the base's weights are quantized: their values, whichever part of them is asked for. */
import t from 'tap'
import { floatMatrix, largest, readRows, rowRange, squareNorms, transposed } from '../../adapters-store/arithmetic.ts'
import { BaseWeights } from '../../adapters-store/base.ts'
import type { FoldMatrix } from '../../native/types.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { fixture } from '../support/repo.ts'
import { storedCheckpoints } from '../support/stored.ts'

function valuesOf(matrix: FoldMatrix): Float32Array {
  const values = new Float32Array(matrix.rows * matrix.columns)
  readRows(matrix, values)
  return values
}

for (const name of storedCheckpoints)
  t.test(name, async (t) => {
    const base = new BaseWeights(readBaseModel(fixture(`stored/${name}`)))
    const weight = base.matrix('model.layers.0.mlp.gate_proj.weight')
    const [rows, columns] = [32, 64]
    t.match(weight, { dtype: 'float32', rows, columns })
    const values = valuesOf(weight)
    t.ok(new Set(values).size > 100, 'many values')
    t.strictSame(valuesOf(rowRange(weight, 5, 9)), values.slice(5 * columns, 14 * columns), 'a run of rows')
    t.strictSame(valuesOf(rowRange(rowRange(weight, 5, 9), 2, 3)), values.slice(7 * columns, 10 * columns), 'a run of a run')
    t.strictSame(base.rows('model.layers.0.mlp.gate_proj.weight').row(31), values.slice(31 * columns), 'row by row')
    const pieces = { ...rowRange(weight, 3, 2), rows: 16, columns: 8, stride: 8 }
    t.strictSame(valuesOf(pieces), values.slice(3 * columns, 5 * columns), 'in pieces, as MiSS takes them')
    t.strictSame(valuesOf(transposed(weight)), valuesOf(transposed(floatMatrix(values, rows, columns))), 'on its side')
    t.equal(largest(weight), Math.max(...values.map(Math.abs)))
    const random = (seed: number) => Float32Array.from({ length: 2 * columns }, (_, i) => Math.sin(seed + i * i))
    const [a, b] = [floatMatrix(random(1), 2, columns), floatMatrix(random(2).subarray(0, 2 * rows), rows, 2)]
    t.strictSame(squareNorms(weight, a, b, 0.5), squareNorms(floatMatrix(values, rows, columns), a, b, 0.5), 'norms')
    t.throws(() => valuesOf({ ...rowRange(weight, 30, 2), rows: 4 }), { message: /beyond its last/ })
  })
