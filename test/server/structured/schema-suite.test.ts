/**
 * The public JSON-Schema-Test-Suite, group by group: nothing invalid is ever taken, and what is valid is, unless the schema is refused by name or the difference is listed here (and in
 * docs/structured-output.md, whose table is what this test counts).
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { repoRoot } from '../../support/repo.ts'
import { judge, readSuite } from '../../support/schema-suite.ts'

/** Files of which every group that is not refused may miss valid values, and why. */
const FORMATS = 'formats are held to, and by a part of what they allow'
const SMALLER: Record<string, string> = {
  format: FORMATS,
  'optional/bignum': 'numbers have at most 18 digits, and 15 between bounds',
}

/** Groups that are followed, but for some valid values. */
const MISSED: Record<string, string> = {
  'unevaluatedItems depends on multiple nested contains': 'items that contains finds are not evaluated by it',
  'unevaluatedItems and contains interact to control item dependency relationship':
    'items that contains finds are not evaluated by it',
  'unevaluatedItems can see annotations from if without then and else': 'an if without then and else says nothing',
  'unevaluatedProperties can see annotations from if without then and else': 'an if without then and else says nothing',
  'unevaluatedProperties with anyOf': 'of several schemas of an anyOf that hold, one evaluates',
  'schema that uses custom metaschema with with no validation vocabulary': 'vocabularies are all known',
  'ref overrides any sibling keywords': 'keywords beside $ref are held to in every draft',
}

const keywordOf = (refused: string) => /(?:^|\.)([^.:]+):/.exec(refused)?.[1] ?? refused

for (const draft of ['draft2020-12', 'draft7'])
  t.test(draft, async (t) => {
    const rows: string[] = []
    const total = { groups: 0, agreed: 0, refused: 0, smaller: 0 }
    const seen = new Set<string>()
    for (const [file, groups] of Object.entries(readSuite(draft))) {
      let [agreed, smaller] = [0, 0]
      const refused = new Map<string, number>()
      for (const group of groups) {
        const verdict = await judge(group)
        t.same(verdict.wrong, [], `${file}: ${group.description}: nothing invalid is taken`)
        if (verdict.refused !== undefined) {
          const keyword = keywordOf(verdict.refused)
          refused.set(keyword, (refused.get(keyword) ?? 0) + 1)
        } else if (verdict.missed.length === 0) agreed++
        else {
          smaller++
          const why = MISSED[group.description] ?? SMALLER[file] ?? (file.startsWith('optional/format/') ? FORMATS : undefined)
          t.ok(why, `${file}: ${group.description}: misses ${verdict.missed.join('; ')}`)
          seen.add(group.description)
        }
      }
      const by = [...refused].map(([keyword, count]) => `${count} (\`${keyword}\`)`).join(', ')
      if (agreed < groups.length) rows.push(`| ${file} | ${groups.length} | ${agreed} | ${by || '–'} | ${smaller || '–'} |`)
      total.groups += groups.length
      total.agreed += agreed
      total.smaller += smaller
      for (const count of refused.values()) total.refused += count
    }
    rows.push(`| ${draft}, all | ${total.groups} | ${total.agreed} | ${total.refused} | ${total.smaller} |`)
    t.comment(rows.join('\n'))
    const docs = readFileSync(path.join(repoRoot(), 'docs/structured-output.md'), 'utf8')
    for (const row of rows) t.ok(docs.includes(row), `docs/structured-output.md has: ${row}`)
    if (draft === 'draft2020-12')
      for (const group of Object.keys(MISSED))
        if (group !== 'ref overrides any sibling keywords') t.ok(seen.has(group), `it is still so: ${group}`)
  })
