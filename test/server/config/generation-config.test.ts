/** generation_config.json's part in the defaults of requests. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { samplingDefaults } from '../../../server/config/generation-config.ts'
import { temporaryFolder } from '../../support/repo.ts'

function defaults(t: Test, text?: string) {
  const folder = temporaryFolder(t)
  if (text !== undefined) writeFileSync(path.join(folder, 'generation_config.json'), text)
  return samplingDefaults(folder)
}

t.test('what vLLM reads of it', async (t) => {
  const config = { temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0.05, repetition_penalty: 1.05 }
  t.same(defaults(t, JSON.stringify({ ...config, presence_penalty: 1, min_tokens: 5, eos_token_id: [2, 5] })), {
    temperature: 0.6,
    topP: 0.95,
    topK: 20,
    minP: 0.05,
    repetitionPenalty: 1.05,
  })
  t.same(defaults(t, '{"temperature": null, "top_k": 0}'), { topK: 0 })
  t.same(defaults(t), {})
})

t.test('a value that no request may bring stops the start: every request would fail', async (t) => {
  for (const [text, message] of [
    ['{"repetition_penalty": 0}', /generation_config\.json: repetition_penalty must be a number from 0\.01 to 100, not 0$/],
    ['{"top_p": "0.9"}', /top_p must be a number above 0 to 1, not "0\.9"$/],
    ['{"top_k": 1.5}', /top_k must be an integer from -1 to/],
    ['{', /generation_config\.json cannot be read: /],
  ] as const)
    t.throws(() => defaults(t, text), { message })
  t.throws(() => defaults(t, JSON.stringify({ top_k: 'x'.repeat(10_000) })), { message: /not "x{99}…$/ }, 'a long one in short')
})
