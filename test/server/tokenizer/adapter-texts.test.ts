/** Tokenizers and templates of adapters: tried, shared, taught again. */
import t from 'tap'
import type { AdapterImage, AdapterText } from '../../../adapters-store/index.ts'
import { OwnTexts } from '../../../server/tokenizer/adapter-texts.ts'
import { ModelChatTemplate } from '../../../server/tokenizer/chat-template.ts'
import { TaughtTokenizers } from '../../../server/tokenizer/taught-tokenizers.ts'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import { baseFile } from '../../support/own-texts.ts'
import { promptsOf } from '../../support/prompts.ts'
import { demoModel } from '../../support/repo.ts'

const folder = demoModel('base')
const definition = baseFile('tokenizer.json')
const stays = () => new AbortController().signal

const shared = (value: unknown) => {
  const bytes = new TextEncoder().encode(JSON.stringify(value))
  const buffer = new SharedArrayBuffer(bytes.length)
  new Uint8Array(buffer).set(bytes)
  return buffer
}

/** With another token of the last id, and `padding` bytes of what says nothing. */
function markedBy(content: string, padding = 0): AdapterText {
  const token = { id: 1535, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }
  const changed = { added_tokens: [...(definition.added_tokens as object[]), token], idle: 'x'.repeat(padding) }
  const buffer = shared(changed)
  return {
    digest: content,
    what: ['tokenizer'],
    definition: buffer,
    tokens: {},
    specialIds: [1535],
    endTokenIds: [],
    bytes: buffer.byteLength,
  }
}
const imageOf = (text?: AdapterText) => ({ image: new SharedArrayBuffer(1), text }) as unknown as AdapterImage

function texts(t: { teardown(handler: () => void): unknown }) {
  const tokenizer = ModelTokenizer.load(folder)
  const template = ModelChatTemplate.load(folder)
  const prompts = promptsOf(folder, template)
  t.teardown(() => prompts.close())
  return { own: new OwnTexts({ folder, tokenizer, template, prompts }), tokenizer, prompts }
}

t.test('adapters with the same share it, and it counts the memory that it takes', async (t) => {
  const { own, tokenizer } = texts(t)
  const bare = imageOf()
  t.equal(await own.admit(bare), bare)
  const [a, b] = await Promise.all([own.admit(imageOf(markedBy('<a>'))), own.admit(imageOf(markedBy('<a>')))])
  t.equal(a.text, b.text)
  const c = await own.admit(imageOf(markedBy('<a>')))
  t.equal(c.text, a.text, 'later ones too')
  t.ok((a.text as AdapterText).bytes > markedBy('<a>').bytes + 1536 * 8)
  const served = own.of(a.text as AdapterText)
  for (let id = 0; id < 1535; id++) if (served.tokenizer.tokenString(id) !== tokenizer.tokenString(id)) t.fail(`token ${id}`)
  t.equal(served.tokenizer.tokenString(1535), '<a>')
  t.equal(served.tokenizer.tokenString(1536), '', 'past the vocabulary')
  t.equal(served.tokenizer.decode([1535, 71], { skipSpecialTokens: true }), tokenizer.decode([71], { skipSpecialTokens: true }))
  t.throws(() => own.of(markedBy('<b>')), /never admitted/)
})

t.test('one template with other special tokens is another, in the same process too', async (t) => {
  const { own } = texts(t)
  const template = '{{ eos_token }}'
  const conversation = { messages: [{ role: 'user', content: 'x'.repeat(5000) }], options: { addGenerationPrompt: true } }
  const encoded = async (digest: string, eos_token: string) => {
    const text: AdapterText = { digest, what: [], template, tokens: { eos_token }, specialIds: [], endTokenIds: [], bytes: 0 }
    const { text: admitted } = await own.admit(imageOf(text))
    const options = { addSpecialTokens: false, param: 'messages' }
    return [...(await own.of(admitted as AdapterText).prompts.encodeConversation(conversation, options, stays()))]
  }
  for (let i = 0; i < 2; i++) {
    t.same(await encoded('<a>', '<|end|>'), [5])
    t.same(await encoded('<b>', '<|user|>'), [3])
  }
})

t.test("an adapter's own template for tools", async (t) => {
  const { own } = texts(t)
  const rest = { what: [], tokens: {}, specialIds: [], endTokenIds: [], bytes: 0 }
  const text: AdapterText = { digest: 'both', template: '<|user|>', toolTemplate: '<|end|>', ...rest }
  const { text: admitted } = await own.admit(imageOf(text))
  const { prompts } = own.of(admitted as AdapterText)
  const messages = [{ role: 'user', content: 'x' }]
  const ids = async (tools?: unknown[]) => {
    const conversation = { messages, options: { addGenerationPrompt: true, tools } }
    return [...(await prompts.encodeConversation(conversation, { addSpecialTokens: false, param: 'messages' }, stays()))]
  }
  t.same([await ids(), await ids([{}])], [[3], [5]])
  await t.rejects(own.admit(imageOf({ ...text, digest: 'broken', toolTemplate: '{% if %}' })), { message: /not valid/ })
})

t.test('what its process has let go it learns again', async (t) => {
  const { own } = texts(t)
  // Two of them are more than a process keeps.
  const large = ['<a>', '<b>', '<c>'].map((content) => markedBy(content, 15 << 20))
  for (let round = 0; round < 2; round++)
    for (const text of large) {
      const { text: admitted } = await own.admit(imageOf(text))
      const { prompts } = own.of(admitted as AdapterText)
      const [ids] = await prompts.encode([text.digest], { addSpecialTokens: false, param: 'prompt' }, stays())
      t.same([...ids], [1535])
    }
})

t.test('a process keeps those that were used last', async (t) => {
  const taught = new TaughtTokenizers(folder)
  const learn = (content: string, padding: number) => {
    const { digest, definition, specialIds, tokens } = markedBy(content, padding)
    taught.learn({
      kind: 'learn',
      digest,
      definition: new Uint8Array(definition as SharedArrayBuffer),
      specialIds,
      templates: [],
      tokens,
    })
  }
  const known = () => ['<a>', '<b>', '<c>', '<d>'].filter((digest) => taught.get(digest)).join('')
  learn('<a>', 15 << 20)
  learn('<b>', 15 << 20)
  t.equal(known(), '<a><b>')
  taught.get('<a>')
  learn('<c>', 15 << 20)
  t.equal(known(), '<a><c>')
  learn('<d>', 45 << 20)
  t.equal(known(), '<d>', 'one is kept whatever its size')
})

t.test('a lesson that fails is a refusal; one that the end of the server cuts off says nothing of the adapter', async (t) => {
  const { own, prompts } = texts(t)
  const broken = { ...markedBy('<x>'), definition: shared({ decoder: { type: 'CTC' } }) }
  await t.rejects(own.admit(imageOf(broken)), { code: 'adapter_tokenizer_invalid', message: /decoder CTC/ })
  await t.rejects(own.admit(imageOf({ ...markedBy('<y>'), definition: undefined, template: '{% if %}' })), {
    code: 'adapter_tokenizer_invalid',
    message: /chat template is not valid/,
  })
  const admitting = own.admit(imageOf(markedBy('<z>')))
  own.close()
  prompts.close()
  await t.rejects(admitting, { code: 'adapter_store_closed' })
})
