/** Random templates against transformers: node dist/bench/templates-random.js ROWS.json   (bench/templates/random_templates.py writes it) */
import { readFileSync } from 'node:fs'
import { parseExactly } from '../server/exact-json.ts'
import { Template } from '../server/jinja/template.ts'

const values = {
  ...(parseExactly(readFileSync('test/fixtures/templates/values.json', 'utf8')) as Record<string, unknown>),
  a: 'A0',
  b: [1, 2, 3],
}
const rows = JSON.parse(readFileSync(process.argv[2], 'utf8')) as [template: string, text: string | null][]
const now = () => new Date(2024, 1, 9, 15, 4, 5, 678)

let different = 0
for (const [template, text] of rows) {
  let got: string | null
  let error = ''
  try {
    got = new Template(template, now).render(values)
  } catch (thrown) {
    got = null
    error = (thrown as Error).message
  }
  if (got === text) continue
  different++
  console.log(JSON.stringify({ template, got, error, text }))
}
console.log(`${different} of ${rows.length} differ`)
