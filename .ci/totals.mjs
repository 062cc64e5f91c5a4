// Counts assertions in a TAP stream: the deepest lines (those not followed by a deeper subtest's summary) of `ok` and `not ok`.
//   node .ci/totals.mjs FILE  →  "PASSED FAILED SKIPPED"
import { readFileSync } from 'node:fs'

const totals = { passed: 0, failed: 0, skipped: 0 }
let subtestEnded = -1 // indentation of the subtest whose closing line comes next: a summary, not an assertion
for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const plan = line.match(/^( *)1\.\.\d+/)
  if (plan && plan[1].length >= 4) subtestEnded = plan[1].length - 4
  const result = line.match(/^( *)(not ok|ok)\b(.*)$/)
  if (!result) continue
  const summary = result[1].length === subtestEnded
  if (summary) subtestEnded = -1
  if (/# SKIP/i.test(result[3])) totals.skipped++
  else if (result[2] === 'not ok') totals.failed += summary ? 0 : 1
  else if (!summary) totals.passed++
}
console.log(totals.passed, totals.failed, totals.skipped)
