import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { ModelTokenizer, requireDefinition } from '../../../server/tokenizer/tokenizer.ts'
import { demoModel, fixture, readJson, temporaryFolder } from '../../support/repo.ts'
import { STYLES, shown, tokenizerOf, VECTORS } from './vectors.ts'

const MALFORMED = '\ufffd'

for (const style of STYLES) {
  const tokenizer = tokenizerOf(style)
  t.test(`${style}: ids are those of Hugging Face's library`, async (t) => {
    for (const { text, ids, special } of VECTORS[style].encoded) {
      t.same(tokenizer.encode(text, { addSpecialTokens: false }), ids, shown(text))
      t.same(tokenizer.encode(text, { addSpecialTokens: true }), special, `${shown(text)} with special tokens`)
    }
  })

  t.test(`${style}: text is that of Hugging Face's library`, async (t) => {
    const { encoded, decoded } = VECTORS[style]
    const byteTokens = hasByteFallback(style)
    const all = [...encoded.map(({ special: ids, decoded, skipped }) => ({ ids, decoded, skipped })), ...decoded]
    for (const { ids, decoded: whole, skipped } of all) {
      // The one difference, told in detokenizer.ts: malformed runs of byte tokens.
      if (byteTokens && whole.includes(MALFORMED)) continue
      t.equal(tokenizer.decode(ids, { skipSpecialTokens: false }), whole, JSON.stringify(ids))
      t.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), skipped, `${JSON.stringify(ids)} without special tokens`)
    }
  })
}

function hasByteFallback(style: string): boolean {
  return (
    style !== 'demo' &&
    readJson<{ model: { byte_fallback?: boolean } }>(fixture('tokenizer', `${style}.json`)).model.byte_fallback === true
  )
}

t.test('malformed byte tokens become U+FFFD and leave the characters around them whole', async (t) => {
  const tokenizer = tokenizerOf('llama2')
  const byte = (value: number) => 3 + value
  t.equal(tokenizer.tokenString(byte(0x41)), '<0x41>')
  const euro = [0xe2, 0x82, 0xac].map(byte)
  t.equal(tokenizer.decode([...euro, byte(0xff), ...euro, byte(0xe2)], { skipSpecialTokens: false }), '€\ufffd€\ufffd')
})

t.test('a token alone shows its text, its bytes and its own spelling', async (t) => {
  const gpt2 = tokenizerOf('gpt2')
  const [the] = gpt2.encode(' the', { addSpecialTokens: false })
  t.same(gpt2.token(the), { text: ' the', bytes: [32, 116, 104, 101] })
  t.equal(gpt2.tokenString(the), 'Ġthe')
  const [part] = gpt2.encode('𝔘', { addSpecialTokens: false })
  t.same(gpt2.token(part), { text: '\ufffd', bytes: [0xf0] })

  const llama2 = tokenizerOf('llama2')
  t.same(llama2.token(3 + 0xe2), { text: '\ufffd', bytes: [0xe2] })
  const space = llama2.encode('x', { addSpecialTokens: false })[0]
  t.same(llama2.token(space), { text: ' ', bytes: [32] }, 'no space is lost in the middle of a text')
  t.same(llama2.token(1), { text: '<s>', bytes: [60, 115, 62] })
})

t.test('ids past the vocabulary, which padded models can sample, have no text', async (t) => {
  const tokenizer = tokenizerOf('demo')
  t.equal(tokenizer.longestToken, '<|assistant|>'.length)
  t.equal(tokenizer.decode([5000], { skipSpecialTokens: false }), '')
  t.same(tokenizer.token(5000), { text: '', bytes: [] })
  t.equal(tokenizer.tokenString(5000), '')
})

t.test('tokens that only tokenizer_config.json calls special are skipped too', async (t) => {
  const definition = readJson<Record<string, unknown>>(fixture('tokenizer', 'gpt2.json'))
  const plain = new ModelTokenizer(definition, {})
  const marked = new ModelTokenizer(definition, { bos_token: { content: '<|tag|>' }, additional_special_tokens: ['the'] })
  const ids = plain.encode('<|tag|>the fox', { addSpecialTokens: false })
  t.equal(plain.decode(ids, { skipSpecialTokens: true }), '<|tag|>the fox')
  t.equal(marked.decode(ids, { skipSpecialTokens: true }), ' fox')
})

t.test('what cannot be done right is refused with its name', async (t) => {
  const definition = readJson<Record<string, unknown>>(fixture('tokenizer', 'gpt2.json'))
  const decoder = (value: unknown) => () => new ModelTokenizer({ ...definition, decoder: value }, {})
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 }
  t.throws(decoder({ type: 'CTC' }), { message: /decoder CTC/ })
  t.throws(decoder(strip), { message: /Strip/ })
  t.throws(decoder({ type: 'Sequence', decoders: [{ type: 'Fuse' }, { ...strip, stop: 1 }] }), { message: /Strip/ })
  t.throws(decoder({ type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'ByteFallback' }] }), {
    message: /ByteFallback after/,
  })
  t.throws(decoder({ type: 'Replace', pattern: { Regex: '▁' }, content: ' ' }), { message: /Replace with a regular/ })
  t.throws(decoder({ type: 'WordPiece', prefix: '##', cleanup: true }), { message: /WordPiece with cleanup/ })
  const folder = temporaryFolder(t)
  t.throws(() => ModelTokenizer.load(folder), { message: /has no tokenizer\.json/ })
})

t.test('a tokenizer.json that the library cannot use is refused when it is read, by its name', async (t) => {
  const folder = temporaryFolder(t)
  const file = path.join(folder, 'tokenizer.json')
  const definition = readJson<Record<string, unknown>>(fixture('tokenizer', 'gpt2.json'))
  const refused = (value: unknown, message: RegExp) => {
    writeFileSync(file, JSON.stringify(value))
    t.throws(() => ModelTokenizer.load(folder), { message }, String(message))
  }
  refused(definition.model, /tokenizer\.json holds no tokenizer that can be served: .*"model"/)
  refused({ ...definition, model: { type: 'TemplateProcessing' } }, /tokenizer\.json holds no tokenizer .*TemplateProcessing/)
  refused({ ...definition, pre_tokenizer: { type: 'Sequence' } }, /tokenizer\.json holds no tokenizer that can be served/)
  refused({ ...definition, decoder: { type: 'CTC' } }, /tokenizer\.json holds no tokenizer .* decoder CTC is not supported/)
  // Read without a word, and looked at when it first tokenizes.
  const template = { type: 'TemplateProcessing', single: null, pair: [], special_tokens: {} }
  refused({ ...definition, post_processor: template }, /tokenizer\.json holds no tokenizer that can be served/)
  for (const value of [[], null, 'text']) refused(value, /tokenizer\.json must hold a JSON object/)
  writeFileSync(file, JSON.stringify(definition))
  writeFileSync(path.join(folder, 'tokenizer_config.json'), '[]')
  t.throws(() => ModelTokenizer.load(folder), { message: /tokenizer_config\.json must hold a JSON object/ })
})

t.test('WordPiece and no decoder at all', async (t) => {
  const definition = readJson<Record<string, unknown>>(fixture('tokenizer', 'gpt2.json'))
  const ids = [...'abc'].map((char) => new ModelTokenizer(definition, {}).encode(char, { addSpecialTokens: false })[0])
  const text = (decoder: unknown) => new ModelTokenizer({ ...definition, decoder }, {}).decode(ids, { skipSpecialTokens: false })
  t.equal(text(null), 'a b c')
  t.equal(text({ type: 'WordPiece', prefix: 'b', cleanup: false }), 'a c', 'a prefixed token joins the one before it')
})

t.test('an id beyond any vocabulary is refused at once: the library would go through all ids below it', async (t) => {
  const definition = requireDefinition(demoModel('base'))
  const model = definition.model as { vocab: Record<string, number> }
  const added = definition.added_tokens as object[]
  for (const odd of [
    { ...definition, model: { ...model, vocab: { ...model.vocab, odd: 2 ** 31 } } },
    { ...definition, added_tokens: [...added, { ...added[0], id: 2 ** 31, content: '<odd>' }] },
  ])
    t.throws(() => new ModelTokenizer(odd, {}), { message: 'a token has the id 2147483648; ids below 16777216 are expected' })
})
