/** Templates one rule each, rendered as transformers' Jinja environment renders them (test/fixtures/templates/make_semantics.py). */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parseExactly } from '../../../server/exact-json.ts'
import { Template } from '../../../server/jinja/template.ts'
import { fixture, readJson } from '../../support/repo.ts'

const values = parseExactly(readFileSync(fixture('templates', 'values.json'), 'utf8')) as Record<string, unknown>
const rows = readJson<[template: string, text: string | null][]>(fixture('templates', 'semantics.json'))
const now = () => new Date(2024, 1, 9, 15, 4, 5, 678)

/** What is known to differ, and why. */
const DIFFERENT: { [template: string]: string } = {
  "{% autoescape true %}{{ '<' }}{% endautoescape %}": 'the tag is not supported, and said so',
  "{{ 'a'.encode('utf-8') is defined }}": 'there are no bytes',
  '{{ lipsum is defined }}': 'a text by chance is in no prompt',
  '{{ self is defined }}': 'blocks cannot be called again',
  "{{ '\\ud83d\\ude00' | length }}": 'two escapes that make a pair of surrogates are one character',
}

function rendered(template: string): string | null {
  try {
    return new Template(template, now).render(values)
  } catch {
    return null
  }
}

t.test('every rule', async (t) => {
  t.ok(rows.length > 1000)
  for (const [template, text] of rows) {
    if (template in DIFFERENT) t.not(rendered(template), text, `${template} differs no more: ${DIFFERENT[template]}`)
    else if (rendered(template) !== text) t.equal(rendered(template), text, template)
  }
})
