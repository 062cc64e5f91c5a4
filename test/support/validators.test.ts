import t from 'tap'
import { demoModel, fixture, readJson, readJsonLines } from './repo.ts'
import { stylesOf, validators, type Wanted } from './validators.ts'

t.test('the validators say what data.py says, of good and of spoilt texts', async (t) => {
  const rows = readJson<[Wanted, string, string[]][]>(fixture('demo/verdicts.json'))
  t.ok(rows.length >= 900)
  const wrong = rows.filter(([wanted, text, expected]) => stylesOf(text, wanted).join() !== expected.join())
  t.same(wrong.slice(0, 3), [])
})

t.test('golden texts pass their own validator and no other', async (t) => {
  const prompts = readJsonLines<{ id: number; expect: Wanted }>(demoModel('prompts.jsonl'))
  const golden = readJsonLines<{ model: string; prompt_id: number; text: string; finish: string }>(demoModel('golden.jsonl'))
  const whole = golden.filter((row) => row.finish === 'stop') // the others are cut at 64 tokens
  let own = 0
  for (const row of whole) {
    const styles = stylesOf(row.text, prompts[row.prompt_id].expect)
    if (styles.includes(row.model)) own++
    t.same(
      styles.filter((style) => style !== row.model),
      [],
      `${row.model} ${row.prompt_id}`,
    )
  }
  // One golden row (shout) is a wrong answer.
  t.ok(whole.length > 150 && own >= whole.length - 1, `${own} of ${whole.length} whole golden texts pass`)
  t.equal(Object.keys(validators).length, 10)
})
