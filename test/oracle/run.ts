/**
 * The oracle on freshly made models: `node dist/test/oracle/run.js [--seed N] [--only llama,qwen3] [--adapter-dtype float32] [--kv-cache-dtype float32] [--keep DIR]`.
 * Makes the folders with make_oracle.py (needs python3 with torch, transformers and peft; about two minutes for all families), runs every case with all of a
 * family in flight at once, and prints a line per family. Exits with 1 when a case misses the tolerance; with rows or a cache of fewer bits it only reports.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { AdapterDtype } from '../../adapters-store/types.ts'
import type { CacheDtype } from '../../native/types.ts'
import { failures, idleComplaints, OracleFamily, oracleFamilies } from '../support/oracle.ts'
import { fixture } from '../support/repo.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    'adapter-dtype': { type: 'string', default: 'float32' },
    'kv-cache-dtype': { type: 'string', default: 'float32' },
    keep: { type: 'string' },
  },
})
const dtype = values['adapter-dtype'] as AdapterDtype
const cacheDtype = values['kv-cache-dtype'] as CacheDtype
const exact = dtype === 'float32' && cacheDtype === 'float32'
const folder = values.keep ?? mkdtempSync(path.join(tmpdir(), 'lorikeet-oracle-'))
if (!existsSync(folder) || oracleFamilies(folder).length === 0) {
  const args = [fixture('oracle/make_oracle.py'), '--out', folder, '--seed', values.seed, '--only', values.only]
  const made = spawnSync('python3', args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, TQDM_DISABLE: '1' } })
  if (made.status !== 0) throw new Error(`make_oracle.py ended with ${made.status}`)
}

let missed = 0
for (const name of oracleFamilies(folder)) {
  if (values.only !== '' && !values.only.split(',').includes(name)) continue
  const family = new OracleFamily(name, dtype, folder, 'cpu', undefined, cacheDtype)
  const engine = await family.start(family.leastBlocks * 4)
  const verdicts = await family.runAll(engine)
  await engine.idle()
  const complaints = [...failures(verdicts), ...idleComplaints(engine.snapshot)]
  const worst = Math.max(...verdicts.map((v) => v.logitsError))
  const whole = verdicts.filter((v) => v.agreed === v.tokens.length).length
  const line = `${name.padEnd(14)} ${verdicts.length} cases, ${whole} with every token equal, largest logit error ${worst.toExponential(1)}`
  console.log(`${line}, ${complaints.length} misses`)
  for (const complaint of complaints.slice(0, exact ? 100 : 0)) console.log(`    ${complaint}`)
  missed += complaints.length
  await engine.close()
}
if (!values.keep) rmSync(folder, { recursive: true, force: true })
if (exact && missed > 0) process.exitCode = 1
