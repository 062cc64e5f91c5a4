/** Every step of a tokenizer.json, as Hugging Face's Rust library takes it (test/fixtures/tokenizer/make_steps.py): the same ids, or refused where it refuses. */
import t from 'tap'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import { fixture, readJson } from '../../support/repo.ts'
import { shown } from './vectors.ts'

type Json = Record<string, unknown>

const { texts, cases, ...shared } = readJson<{
  texts: string[]
  cases: Record<string, { definition: Json; ids: ([plain: number[], special: number[]] | null)[] | null }>
  VOCAB: Json
  UNIGRAM: unknown[]
}>(fixture('tokenizer', 'steps.json'))

function made(definition: Json): ModelTokenizer {
  const model = definition.model as Json | undefined
  if (typeof model?.vocab !== 'string') return new ModelTokenizer(definition, {})
  const vocab = shared[model.vocab.slice(1) as 'VOCAB' | 'UNIGRAM']
  return new ModelTokenizer({ ...definition, model: { ...model, vocab } }, {})
}

t.test('ids of every step', async (t) => {
  t.ok(Object.keys(cases).length > 100)
  for (const [name, { definition, ids }] of Object.entries(cases)) {
    if (ids === null) {
      t.throws(() => made(definition), `${name} is refused`)
      continue
    }
    const tokenizer = made(definition)
    for (const [i, text] of texts.entries()) {
      const wanted = ids[i]
      if (!wanted) t.throws(() => tokenizer.encode(text, { addSpecialTokens: false }), `${name}: ${shown(text)}`)
      else {
        const got = [false, true].map((addSpecialTokens) => tokenizer.encode(text, { addSpecialTokens }))
        if (JSON.stringify(got) !== JSON.stringify(wanted)) t.same(got, wanted, `${name}: ${shown(text)}`)
      }
    }
  }
})
