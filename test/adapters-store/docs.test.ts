/** docs/adapters.md and the code name the same methods and error codes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ADAPTER_ERROR_CODES, SUPPORTED_METHODS } from '../../adapters-store/index.ts'
import { repoRoot } from '../support/repo.ts'

const page = readFileSync(join(repoRoot(), 'docs/adapters.md'), 'utf8')
const firstCells = [...page.matchAll(/^\| (\S+)/gm)].map(([, cell]) => cell)

t.test('every method is in the table, and no other', async (t) => {
  t.strictSame([...new Set(firstCells.filter((cell) => /^[A-Z]/.test(cell)))].sort(), [...SUPPORTED_METHODS].sort())
})

t.test('every error code is in the table, and no other', async (t) => {
  t.strictSame(firstCells.filter((cell) => cell.startsWith('`')).sort(), ADAPTER_ERROR_CODES.map((code) => `\`${code}\``).sort())
})
