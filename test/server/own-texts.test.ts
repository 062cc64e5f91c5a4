/** Adapters whose folders have a tokenizer or a chat template of their own. */
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { AdapterRegistry } from '../../adapters-store/index.ts'
import { adapterWith, baseFile, OWN, type OwnText } from '../support/own-texts.ts'
import { demoModel, readJson, temporaryFolder } from '../support/repo.ts'
import { type Served, startServed } from '../support/served.ts'

const ENDLESS = '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}'
const config = baseFile('tokenizer_config.json')
const definition = baseFile('tokenizer.json')
const adapterConfig = readJson<object>(demoModel('adapters/pirate/adapter_config.json'))

/** A server of adapters with such files beside their weights, each loaded or refused. */
async function serving(t: Tap, adapters: Record<string, Record<string, string | object>>, settings = {}): Promise<Served> {
  const folder = temporaryFolder(t)
  for (const [name, files] of Object.entries(adapters)) adapterWith(path.join(folder, name), files)
  const served = await startServed(t, {
    model: demoModel('base'),
    'served-model-name': 'demo',
    adapters: folder,
    'adapter-dtype': 'float32',
    ...settings,
  })
  await served.preloaded
  return served
}

type Tap = Parameters<typeof temporaryFolder>[0] & Parameters<typeof startServed>[0]

const files = (name: string) => OWN.variants[name].files
const complete = (served: Served, model: string, more: object) =>
  served.post('/v1/completions', { model, prompt: 'the fox', max_tokens: 6, temperature: 0, ...more })

t.test('tokens and texts are those of transformers with the files of the folder', async (t) => {
  const served = await serving(t, Object.fromEntries(Object.keys(OWN.variants).map((name) => [name, files(name)])))
  const { texts, messages } = OWN
  const check = async (model: string, own: OwnText) => {
    for (const [i, prompt] of texts.entries()) {
      const tokens = async (more: object) => (await served.post('/tokenize', { model, prompt, ...more })).body.tokens
      t.same(await tokens({}), own.ids[i], `${model}: ${prompt}`)
      t.same(await tokens({ add_special_tokens: false }), own.plain[i])
      const { body } = await served.post('/detokenize', { model, tokens: own.ids[i] })
      t.equal(body.prompt, own.texts[i])
      const echoed = await complete(served, model, { prompt: own.ids[i], echo: true, max_tokens: 0 })
      t.equal(echoed.body.choices[0].text, own.ordinary[i], 'without special tokens')
    }
    t.same((await served.post('/tokenize', { model, messages, add_generation_prompt: true })).body.tokens, own.chat)
    const chat = { model, messages, max_tokens: 3, temperature: 0, return_token_ids: true }
    t.same((await served.post('/v1/chat/completions', chat)).body.prompt_token_ids, own.chat)
    const ended = await complete(served, model, { allowed_token_ids: [own.end], return_token_ids: true })
    t.match(ended.body.choices[0], { finish_reason: 'stop', stop_reason: null, text: '', token_ids: [own.end] })
  }
  for (const [model, own] of Object.entries(OWN.variants)) await check(model, own)
  // Often enough for conversations to be rendered on the main thread; and all at once.
  for (let i = 0; i < 3; i++) await Promise.all(Object.entries(OWN.variants).map(([model, own]) => check(model, own)))
  const base = await served.post('/tokenize', { prompt: texts[1] })
  t.same(base.body.tokens, OWN.variants.template.ids[1], "the base's requests read its own")
  t.same(await served.idleComplaints(), [])
})

t.test('a folder that says what the base says has the digest of its weights, and shares the tokenizer', async (t) => {
  const copied = Object.fromEntries(
    ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'].map((name) => [name, baseFile(name)]),
  )
  const served = await serving(t, {
    bare: {},
    copied,
    trainer: files('trainer'),
    template: files('template'),
    marker: files('marker'),
  })
  const digest = (name: string) => served.serving.adapters.get(name)?.digest as string
  t.equal(digest('copied'), digest('bare'))
  t.equal(digest('trainer'), digest('bare'))
  t.equal(new Set(['bare', 'template', 'marker'].map(digest)).size, 3, 'a digest says what answers')
})

t.test('streams, several choices, stop strings and logprobs are in its tokens', async (t) => {
  const served = await serving(t, { marker: files('marker'), bare: {} })
  const marked = { allowed_token_ids: [1535], ignore_eos: true, max_tokens: 3, n: 2 }
  const shown = await complete(served, 'marker', { ...marked, skip_special_tokens: false, logprobs: 1 })
  t.equal(shown.body.choices.length, 2)
  for (const { text, logprobs } of shown.body.choices) {
    t.equal(text, '<|call|><|call|><|call|>')
    t.same(logprobs.tokens, Array(3).fill('<|call|>'))
  }
  t.equal((await complete(served, 'marker', marked)).body.choices[0].text, '')
  const stopped = await complete(served, 'marker', { ...marked, skip_special_tokens: false, stop: '|><|' })
  t.match(stopped.body.choices[0], { text: '<|call', stop_reason: '|><|' })
  t.notMatch((await complete(served, 'bare', { ...marked, skip_special_tokens: false })).body.choices[0].text, /call/)
  const response = await fetch(`${served.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'marker', messages: OWN.messages, stream: true, skip_special_tokens: false, ...marked }),
  })
  const chunks = (await response.text()).matchAll(/^data: (\{.*)$/gm)
  const text = [...chunks].flatMap(([, json]) => JSON.parse(json).choices).map(({ delta }) => delta.content ?? '')
  t.equal(text.join(''), '<|call|>'.repeat(6))
})

t.test('adapters are mixed only where they read text alike', async (t) => {
  const named = files('template-file')
  const served = await serving(t, {
    a: {},
    b: files('template'),
    c: { ...named, 'adapter_config.json': { ...adapterConfig, lora_alpha: 9 } },
  })
  const mix = (listed: string) => served.post('/v1/completions', { prompt: 'x', max_tokens: 1 }, { 'x-lora-adapter': listed })
  t.match(await mix('a, b'), {
    status: 400,
    body: {
      error: {
        param: 'x-lora-adapter',
        message: /a and b read text in different ways .*a has the base model's, b has its own chat template/,
      },
    },
  })
  t.equal((await mix('b, c')).status, 200, 'one template, said in two ways')
  t.same(await served.idleComplaints(), [])
})
t.test('what cannot be served is refused with the file and the reason', async (t) => {
  const added = (id: number, content: string) => ({
    ...definition,
    added_tokens: [
      ...(definition.added_tokens as object[]),
      { id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
    ],
  })
  const cases: Record<string, [files: Record<string, string | object>, reason: RegExp]> = {
    'no-json': [{ 'tokenizer.json': '{"model":' }, /tokenizer\.json: it is not JSON/],
    'no-object': [{ 'tokenizer_config.json': '[]' }, /tokenizer_config\.json: it is not a JSON object/],
    'no-utf8': [{ 'chat_template.jinja': Buffer.of(0xff) }, /chat_template\.jinja: it is not UTF-8/],
    'no-model': [{ 'tokenizer.json': {} }, /tokenizer\.json: its model\.vocab/],
    decoder: [
      { 'tokenizer.json': { ...definition, decoder: { type: 'CTC' } } },
      /tokenizer\.json: .*decoder CTC is not supported/,
    ],
    jinja: [{ 'chat_template.jinja': '{% for %}' }, /the chat template is not valid/],
    unnamed: [
      { 'tokenizer_config.json': { ...config, chat_template: [{ name: 'rag', template: 'x' }] } },
      /chat templates \(rag\)/,
    ],
    rows: [
      { 'tokenizer.json': added(1536, '<new>') },
      /tokenizer\.json: it has "<new>" \(1536\), and the model has rows for the ids below 1536 only/,
    ],
    token: [
      { 'tokenizer_config.json': { ...config, eos_token: '<new>' } },
      /special token "<new>", which is not in the vocabulary/,
    ],
    eos: [{ 'generation_config.json': { eos_token_id: 2000 } }, /generation_config\.json: eos_token_id 2000/],
    slow: [{ 'tokenizer.model': 'x' }, /tokenizer\.model: it is not the base model's, and there is no tokenizer\.json/],
    'large-template': [{ 'chat_template.jinja': 'x'.repeat(300_000) }, /chat_template\.jinja has 300000 bytes/],
  }
  const served = await serving(t, Object.fromEntries(Object.entries(cases).map(([name, [files]]) => [name, files])))
  for (const [model, [, reason]] of Object.entries(cases)) {
    const answer = await complete(served, model, {})
    t.match(answer, { status: 400, body: { error: { code: 'adapter_refused', message: reason } } }, model)
    t.notMatch(answer.body.error.message, path.sep + path.join('tmp'), 'no path')
    t.equal((await served.post('/tokenize', { model, prompt: 'x' })).status, 400)
  }
  const directory = served.serving.adapters.get('jinja')?.directory as string
  rmSync(path.join(directory, 'chat_template.jinja'))
  t.equal((await complete(served, 'jinja', {})).status, 200, 'it is tried again when its files have changed')
})

t.test('a padding token without a row is no obstacle, and no prompt', async (t) => {
  const pad = { id: 1536, content: '[PAD]', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }
  const own = { ...definition, added_tokens: [...(definition.added_tokens as object[]), pad] }
  const served = await serving(t, { a: { 'tokenizer.json': own, 'tokenizer_config.json': { ...config, pad_token: '[PAD]' } } })
  t.match(served.serving.adapters.get('a'), { warnings: [/padding token "\[PAD\]" \(1536\) has no row/] })
  t.equal((await complete(served, 'a', {})).status, 200)
  t.match(await complete(served, 'a', { prompt: 'the [PAD]' }), { status: 400, body: { error: { param: /^prompt/ } } })
})

t.test('a template that never ends keeps nobody waiting but its own', async (t) => {
  const served = await serving(t, { endless: { 'chat_template.jinja': ENDLESS }, template: files('template'), bare: {} })
  const chat = (model: string) => served.post('/v1/chat/completions', { model, messages: OWN.messages, max_tokens: 1 })
  const endless = Promise.all([chat('endless'), chat('endless')])
  for (let i = 0; i < 3; i++) {
    const started = performance.now()
    t.equal((await chat('bare')).status, 200)
    t.ok(performance.now() - started < 1500, "the base's is rendered meanwhile")
  }
  for (const answer of await endless)
    t.match(answer, {
      status: 400,
      body: { error: { code: 'chat_template_failed', message: /the adapter's chat template took more than/ } },
    })
  t.equal((await chat('template')).status, 200)
})

t.test('a tokenizer that never ends is cut off, and the next text is read', async (t) => {
  const split = { type: 'Split', pattern: { Regex: '(?:x+x+)+y|.' }, behavior: 'Isolated', invert: false }
  const pre_tokenizer = {
    type: 'Sequence',
    pretokenizers: [split, { ...(definition.pre_tokenizer as object), use_regex: false }],
  }
  const served = await serving(t, { hangs: { 'tokenizer.json': { ...definition, pre_tokenizer } }, bare: {} })
  const tokenize = (model: string, prompt: string) => served.post('/tokenize', { model, prompt })
  const before = await tokenize('hangs', 'a fox')
  t.match(before, { status: 200 })
  const hanging = tokenize('hangs', 'x'.repeat(60))
  t.equal((await tokenize('bare', 'the fox '.repeat(1000))).status, 200)
  t.match(await hanging, {
    status: 400,
    body: { error: { code: 'tokenizer_failed', message: /the adapter's tokenizer took more than/ } },
  })
  t.same((await tokenize('hangs', 'a fox')).body, before.body, 'a new process has learnt it')
})

t.test('a version that replaces another brings its own template; those before end as they began', async (t) => {
  const served = await serving(t, { a: files('template') })
  const { adapters } = served.serving
  const before = adapters.get('a')?.digest
  const chat = async () =>
    (
      await served.post('/tokenize', { model: 'a', messages: [{ role: 'user', content: 'x' }], return_token_strs: true })
    ).body.token_strs.join('')
  t.match(await chat(), /\[user\]/)
  const directory = adapters.get('a')?.directory as string
  writeFileSync(path.join(directory, 'chat_template.jinja'), 'Now: {{ messages[0].content }}')
  await (adapters as AdapterRegistry).replace('a', directory)
  t.not(adapters.get('a')?.digest, before)
  t.match(await chat(), /^Now:/)
  writeFileSync(path.join(directory, 'chat_template.jinja'), `Long: {{ messages[0].content }}${'{# -#}'.repeat(10_000)}`)
  await (adapters as AdapterRegistry).replace('a', directory)
  for (let i = 0; i < 3; i++) t.match(await chat(), /^Long:/)
  t.same(await served.idleComplaints(), [])
  t.equal(served.serving.endTokenIds.length, 2, "the base's ends stay as they are")
})

t.test("the base's serve all where the operator says so, and a warning tells of it", async (t) => {
  const served = await serving(
    t,
    { marker: files('marker'), broken: { 'tokenizer.json': 'x' }, bare: {} },
    { 'adapter-tokenizers': 'base' },
  )
  const { adapters } = served.serving
  for (const name of ['marker', 'broken']) {
    t.equal(adapters.get(name)?.digest, adapters.get('bare')?.digest)
    t.same((await served.post('/tokenize', { model: name, prompt: OWN.texts[1] })).body.tokens, OWN.variants.template.ids[1])
  }
  t.match(adapters.get('marker'), {
    warnings: [/its own tokenizer and chat template and special tokens and end tokens are not used/],
  })
  t.match(adapters.get('broken'), { warnings: [/its own tokenizer is not used \(tokenizer\.json: it is not JSON/] })
})

t.test('an adapter says how it writes calls: in its config, or by its template', async (t) => {
  const template = '{% for m in messages %}{{ m.content }}{% endfor %}{% if tools %}<tool_call>{% endif %}'
  const served = await serving(t, {
    said: { 'tokenizer_config.json': { tool_call_parser: 'llama4_json', reasoning_parser: 'qwen3' } },
    shown: { 'chat_template.jinja': template },
    bare: {},
    wrong: { 'tokenizer_config.json': { tool_call_parser: 'hermit' } },
    number: { 'tokenizer_config.json': { reasoning_parser: 1 } },
  })
  const tools = [{ type: 'function', function: { name: 'now' } }]
  const ask = (model: string) =>
    served.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'a' }], tools, max_tokens: 2 })
  for (const model of ['said', 'shown']) t.match(await ask(model), { status: 200 }, model)
  for (const model of ['bare', 'demo'])
    t.match(await ask(model), { status: 400, body: { error: { param: 'tool_choice', message: /--tool-call-parser/ } } }, model)
  for (const [model, reason] of [
    ['wrong', /tool_call_parser must be one of deepseek_v3.* not "hermit"/],
    ['number', /reasoning_parser must be a name/],
  ] as const)
    t.match(await ask(model), { status: 400, body: { error: { code: 'adapter_refused', message: reason } } }, model)
})
