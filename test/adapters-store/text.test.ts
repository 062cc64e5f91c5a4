/** What an adapter's folder says of text, against what the base's says. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { ImageCache } from '../../adapters-store/image-cache.ts'
import { type AdapterImage, AdapterStore, loadAdapter } from '../../adapters-store/index.ts'
import { TextReader } from '../../adapters-store/text/read.ts'
import { baseFile, OWN } from '../support/own-texts.ts'
import { readFor, testRegistry } from '../support/registry.ts'
import { demoModel, fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

type Json = Record<string, unknown>
type Files = Record<string, Json | string>

const base = { 'tokenizer.json': baseFile('tokenizer.json'), 'tokenizer_config.json': baseFile('tokenizer_config.json') }
const definition = base['tokenizer.json']
const config = base['tokenizer_config.json']
const model = definition.model as Json
const reading = (files: Files) => (name: string) => {
  const content = files[name]
  if (content === undefined) return undefined
  return Buffer.from(typeof content === 'string' ? content : JSON.stringify(content))
}
/** What a folder with these files has of its own. */
const own = (files: Files, of: Files = base, vocabSize = 1536) =>
  new TextReader(reading(of)).read(reading(files), vocabSize, () => {})
const added = (content: string, id: number) => ({
  ...definition,
  added_tokens: [...(definition.added_tokens as Json[]), { id, content, special: true }],
})

t.test('the same said in another way is the same', async (t) => {
  const reversed = (object: Json) => Object.fromEntries(Object.entries(object).reverse())
  const merges = model.merges as (string | string[])[]
  const other = merges.map((pair) => (typeof pair === 'string' ? pair.split(' ') : pair.join(' ')))
  const same: Record<string, Json> = {
    reversed: reversed(definition),
    padded: { ...definition, version: '2.0', padding: { strategy: 'BatchLongest' }, truncation: { max_length: 8 } },
    'other merges': { ...definition, model: { ...model, merges: other } },
    'other vocabulary order': { ...definition, model: reversed({ ...model, vocab: reversed(model.vocab as Json) }) },
    'older library': {
      ...definition,
      model: Object.fromEntries(Object.entries(model).filter(([, value]) => value !== null && value !== false)),
    },
    'other order of added tokens': { ...definition, added_tokens: [...(definition.added_tokens as Json[])].reverse() },
  }
  const reader = new TextReader(reading(base))
  for (const [what, tokenizer] of Object.entries(same)) {
    t.equal(
      reader.read(reading({ 'tokenizer.json': tokenizer }), 1536, () => {}),
      undefined,
      what,
    )
    t.equal(own({ 'tokenizer.json': tokenizer, 'tokenizer_config.json': reversed(config) }), undefined, what)
  }
  t.equal(
    own({ 'tokenizer_config.json': { ...config, model_max_length: 7, padding_side: 'left', pad_token: '<|end|>' } }),
    undefined,
  )
  t.equal(own({ 'special_tokens_map.json': { eos_token: { content: '<|end|>' } } }), undefined)
  t.equal(own({ 'chat_template.jinja': config.chat_template as string }), undefined)
  t.equal(own({ 'vocab.json': 'x' }, { ...base, 'vocab.json': 'x' }), undefined)
  t.equal(own({ 'added_tokens.json': { a: 1, b: 2 } }, { ...base, 'added_tokens.json': { b: 2, a: 1 } }), undefined)
})

t.test('what differs is told, with a digest that depends on what is said alone', async (t) => {
  const template = OWN.variants.template.files
  const one = own(template)
  t.match(one, { what: ['chat template'], template: /\[assistant\]/, endTokenIds: [], definition: undefined })
  t.equal(own(OWN.variants['template-file'].files)?.digest, one?.digest)
  const named = own(OWN.variants['named-templates'].files)
  t.match(named, { what: ['chat template'], template: one?.template, toolTemplate: 'tools' })
  t.not(named?.digest, one?.digest, 'another one for tools')
  t.not(own({ 'chat_template.jinja': 'x' })?.digest, one?.digest)
  t.match(own({ 'tokenizer_config.json': { ...config, eos_token: '<|user|>' } }), {
    endTokenIds: [3],
    what: ['special tokens', 'end tokens'],
  })
  t.match(
    own(
      { 'generation_config.json': { eos_token_id: [2, 5, 9] } },
      { ...base, 'generation_config.json': { eos_token_id: [2, 5] } },
    ),
    {
      what: ['end tokens'],
      endTokenIds: [9],
    },
  )
  t.match(own({ 'tokenizer_config.json': { ...config, extra_special_tokens: ['a'] } }), { what: ['special tokens'] })
  const cut = { ...definition, model: { ...model, merges: (model.merges as unknown[]).slice(0, 9) } }
  const text = own({ 'tokenizer.json': cut })
  t.match(text, { what: ['tokenizer'], endTokenIds: [] })
  t.same(
    Object.keys(JSON.parse(Buffer.from(text?.definition as SharedArrayBuffer).toString())),
    ['model'],
    'only what differs is kept',
  )
  // A template of the base's that shows a token which the adapter calls otherwise.
  const bos = own({ 'tokenizer_config.json': { ...config, bos_token: '<|eos|>' } })
  t.match(bos, { what: ['special tokens'], tokens: { bos_token: '<|eos|>', eos_token: '<|end|>' }, template: undefined })
  // The same name for the end, which is another token.
  const tokens = (definition.added_tokens as { id: number }[]).map((token) => ({
    ...token,
    id: token.id === 5 ? 6 : token.id === 6 ? 5 : token.id,
  }))
  t.match(own({ 'tokenizer.json': { ...definition, added_tokens: tokens } }), { endTokenIds: [6] })
})

t.test('ids without rows are refused, but for what the base has itself and for padding', async (t) => {
  t.throws(() => own({ 'tokenizer.json': added('<new>', 1536) }), {
    code: 'adapter_tokenizer_invalid',
    message: /"<new>" \(1536\)/,
  })
  t.match(
    own({ 'tokenizer.json': added('<new>', 1536) }, base, 1537),
    { what: ['tokenizer', 'special tokens'] },
    'the adapter has rows for it',
  )
  const large = added('<new>', 1536)
  t.equal(own({ 'tokenizer.json': { ...large, padding: {} } }, { ...base, 'tokenizer.json': large }), undefined)
  const more = { ...large, model: { ...model, merges: [] } }
  t.match(own({ 'tokenizer.json': more }, { ...base, 'tokenizer.json': large }), { what: ['tokenizer'] })
  const padded = { 'tokenizer.json': added('[PAD]', 1536), 'tokenizer_config.json': { ...config, pad_token: '[PAD]' } }
  t.match(own(padded), { what: ['tokenizer', 'special tokens'] })
  t.throws(
    () => own({ ...padded, 'tokenizer_config.json': { ...config, pad_token: '[PAD]', eos_token: '[PAD]' } }),
    /"\[PAD\]" \(1536\)/,
  )
})

t.test('what many adapters have is found out once, for as many rows', async (t) => {
  const reader = new TextReader(reading(base))
  const read = (files: Files, vocabSize = 1536) => reader.read(reading(files), vocabSize, () => {})
  const { files } = OWN.variants.marker
  const [one, two] = [read(files), read({ ...files, 'chat_template.jinja': 'x' })]
  t.equal(two?.definition, one?.definition)
  t.not(two?.digest, one?.digest)
  t.same(two?.specialIds, own({ ...files, 'chat_template.jinja': 'x' })?.specialIds)
  const more = { 'tokenizer.json': added('<new>', 1536) }
  t.match(read(more, 1537), { specialIds: [0, 1, 2, 3, 4, 5, 6, 1536] })
  t.throws(() => read(more), /"<new>" \(1536\)/, 'another adapter lacks the row')
  for (let i = 0; i < 40; i++) read({ 'tokenizer.json': { ...definition, note: i } })
  t.ok(reader.known.own.size <= 16)
})

t.test('what is no tokenizer is refused by the name of its file', async (t) => {
  const bad: [Files, RegExp][] = [
    [
      { 'tokenizer.json': { ...definition, added_tokens: [{ content: 5, id: 1 }] } },
      /tokenizer\.json: its model\.vocab and added_tokens/,
    ],
    [{ 'tokenizer.json': { ...definition, added_tokens: 5 } }, /tokenizer\.json: its/],
    [{ 'tokenizer.json': { ...definition, added_tokens: [null] } }, /tokenizer\.json: its/],
    [{ 'tokenizer.json': { ...definition, model: { vocab: { a: -1 } } } }, /tokenizer\.json: its/],
    [{ 'tokenizer.json': { ...definition, model: { vocab: [5] } } }, /tokenizer\.json: its/],
    [{ 'tokenizer.json': '5' }, /tokenizer\.json: it is not a JSON object/],
    [
      { 'tokenizer.json': `{"model":{"vocab":{}},"a":${'['.repeat(5e5)}${']'.repeat(5e5)}}` },
      /tokenizer\.json: it is nested too deeply/,
    ],
    [{ 'tokenizer.json': '{"a":' }, /tokenizer\.json: it is not JSON/],
    [
      { 'tokenizer_config.json': { chat_template: [{ name: 'default', template: 5 }] } },
      /tokenizer_config\.json: its default chat template is no text/,
    ],
    [
      { 'tokenizer_config.json': { added_tokens_decoder: { 9: { content: '<new>' } } } },
      /added_tokens_decoder says that "<new>" is token 9/,
    ],
    [{ 'tokenizer_config.json': { additional_special_tokens: ['<new>'] } }, /"<new>", which is not in the vocabulary/],
    [{ 'generation_config.json': { eos_token_id: 'x' } }, /generation_config\.json: eos_token_id must be/],
    [{ 'added_tokens.json': { '<new>': 1536 } }, /added_tokens\.json: it is not the base model's/],
    [{ 'vocab.txt': 'a' }, /vocab\.txt: it is not the base model's/],
  ]
  for (const [files, message] of bad) t.throws(() => own(files), { code: 'adapter_tokenizer_invalid', message })
  t.equal(own({ 'tokenizer.json': definition, 'vocab.txt': 'a' }), undefined, 'beside a tokenizer.json they say nothing')
})

const folderBase = baseModelOf(fixture('peft/biased/base'))
const demoBase = { ...folderBase, directory: demoModel('base'), vocabSize: 1536 }
const LORA = fixture('peft/biased/adapters/lora')
const layout = { dtype: 'float16' as const, blockBytes: 1024 }

/** A copy of an adapter with such files. */
function folderOf(t: Parameters<typeof temporaryFolder>[0], files: Files): string {
  const folder = temporaryFolder(t)
  cpSync(LORA, folder, { recursive: true })
  for (const [name, content] of Object.entries(files))
    writeFileSync(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  return folder
}

t.test('pipes, links out of the folder and links that lead nowhere are refused', async (t) => {
  const refused = (make: (file: string) => void, code: string) => {
    const folder = folderOf(t, {})
    make(path.join(folder, 'chat_template.jinja'))
    t.throws(() => loadAdapter('a', folder, demoBase, layout), { code })
  }
  refused((file) => symlinkSync(demoModel('base/tokenizer.json'), file), 'adapter_link_refused')
  refused((file) => symlinkSync('nowhere', file), 'adapter_not_found')
  refused((file) => mkdirSync(file), 'adapter_unreadable')
  if (process.platform !== 'win32') refused((file) => execFileSync('mkfifo', [file]), 'adapter_unreadable')
  const folder = folderOf(t, { 'x.jinja': 'x' })
  symlinkSync('x.jinja', path.join(folder, 'chat_template.jinja'))
  t.match(loadAdapter('a', folder, demoBase, layout), { text: { template: 'x' } })
})

t.test('the image cache keeps it, and knows when it changes', async (t) => {
  const directory = temporaryFolder(t)
  const cache = () => new ImageCache({ directory, maxBytes: 1 << 30 }, demoBase, layout)
  const { files } = OWN.variants.marker
  const folder = folderOf(t, { ...files, 'tokenizer_config.json': config })
  const image = loadAdapter('a', folder, demoBase, layout)
  cache().keep(folder, cache().identify(folder), image)
  const found = cache().find('a', folder) as AdapterImage
  const bytes = ({ text }: AdapterImage) => Buffer.from(text?.definition as SharedArrayBuffer)
  t.strictSame(found.text && { ...found.text, definition: 0 }, image.text && { ...image.text, definition: 0 })
  t.ok(bytes(found).length > 100 && bytes(found).equals(bytes(image)))
  t.equal(found.digest, image.digest)
  writeFileSync(path.join(folder, 'chat_template.jinja'), 'x')
  t.equal(cache().find('a', folder), undefined)
  rmSync(path.join(folder, 'chat_template.jinja'))
  t.ok(cache().find('a', folder))
  t.notOk(new ImageCache({ directory, maxBytes: 1 << 30 }, demoBase, { ...layout, tokenizers: 'base' }).find('a', folder))
})

t.test('threads of the store tell each other what they found out', async (t) => {
  const store = new AdapterStore(demoBase, layout, { threads: 1 })
  t.teardown(() => store.close())
  const rewritten = { ...definition, padding: {} }
  const [bare, copied, marked] = await Promise.all(
    [{}, { 'tokenizer.json': rewritten }, OWN.variants.marker.files].map((files, i) => store.load(`a${i}`, folderOf(t, files))),
  )
  t.equal(copied.digest, bare.digest)
  t.not(marked.digest, bare.digest)
  // The thread is ended when it is idle.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.equal((await store.load('b', folderOf(t, { 'tokenizer.json': rewritten }))).digest, bare.digest)
})

t.test(
  'adapters of the same weights and other templates are two contents; a refused one is read again when its file changes',
  async (t) => {
    const { registry, here, read } = testRegistry(readFor(demoBase))
    const folders = [folderOf(t, {}), folderOf(t, { 'chat_template.jinja': 'a' }), folderOf(t, { 'chat_template.jinja': 'a' })]
    for (const [i, folder] of folders.entries()) await read(`a${i}`, folder)
    t.same(
      [...here.values()].map((names) => names.sort()),
      [['a0'], ['a1', 'a2']],
    )
    const folder = folderOf(t, { 'tokenizer.json': 'x' })
    const adapter = await read('broken', folder)
    t.match(adapter.refusal, /tokenizer\.json: it is not JSON/)
    t.ok(adapter.stillRefused)
    writeFileSync(path.join(folder, 'tokenizer.json'), JSON.stringify(definition))
    t.notOk(adapter.stillRefused)
    const lease = await registry.lease([adapter])
    t.same(lease.texts, [undefined])
    lease.release()
  },
)
