import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ApiError, TemplateError } from '../../../server/errors.ts'
import { ModelChatTemplate } from '../../../server/tokenizer/chat-template.ts'
import { ClientLeft } from '../../../server/tokenizer/process-pool.ts'
import type { ModelPromptReader } from '../../../server/tokenizer/prompt-reader.ts'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import { seeded } from '../../support/pace.ts'
import { promptsOf } from '../../support/prompts.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'

const folder = demoModel('base')
const tokenizer = ModelTokenizer.load(folder)
const tokens = { eos_token: '</s>' }
const user = [{ role: 'user', content: 'hi' }]
const plain = { addGenerationPrompt: false }
const stays = () => new AbortController().signal
const encoding = { addSpecialTokens: true, param: 'prompt' }
const ENDLESS = '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}'
/** Fills any memory, list by list. */
const FILLING =
  '{% set n = namespace(a=[]) %}{% for i in range(90000) %}{% for j in range(10) %}{% set n.a = [n.a, range(1000) | list] %}{% endfor %}{% endfor %}{{ n.a }}'

/** A text that no cache knows. */
function words(units: number, seed = 1): string {
  const random = seeded(seed)
  let text = ''
  while (text.length < units) text += `${random.pick(['the', ' fox', ' und', 'é', '漢', '🙂'])}${random.below(1e6)} `
  return text.slice(0, units)
}

/** A reader, closed when the test ends. */
function reader(t: { teardown(handler: () => void): unknown }, ...args: Parameters<typeof promptsOf>) {
  const prompts = promptsOf(...args)
  t.teardown(() => prompts.close())
  return prompts
}

/** `user` by that template, or the model's own, as text. */
const rendered = (prompts: ModelPromptReader, template?: string, signal = stays()) =>
  prompts.render({ messages: user, options: plain, template }, signal)

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: Error) => error,
  )

/** Milliseconds for which the event loop stood still at most. */
async function longestGap(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await work()
  delay.disable()
  return delay.max / 1e6
}

t.test('texts are the same tokens wherever they are read: short, long, one by one, many', async (t) => {
  const prompts = reader(t, folder)
  for (const texts of [['a fox'], [words(20_000)], Array.from({ length: 50 }, (_, i) => words(3000, i)), ['', words(66_000), '']])
    for (const addSpecialTokens of [true, false]) {
      const read = await prompts.encode(texts, { addSpecialTokens, param: 'prompt' }, stays())
      t.same(
        read.map((ids) => Array.from(ids)),
        texts.map((text) => tokenizer.encode(text, { addSpecialTokens })),
      )
    }
  const [long] = await prompts.encode([words(20_000)], encoding, stays())
  t.ok((long as Int32Array).buffer instanceof SharedArrayBuffer, 'the engine gets them without a copy')
})

t.test('half a megabyte is tokenized while the main thread serves', async (t) => {
  const prompts = reader(t, folder)
  await prompts.encode([words(5000)], encoding, stays())
  const text = words(1 << 19)
  let took = 0
  const gap = await longestGap(async () => {
    const began = performance.now()
    await prompts.encode([text], encoding, stays())
    took = performance.now() - began
  })
  t.ok(gap < took / 2, `the longest gap was ${gap} ms of ${took}`)
})

t.test('a conversation renders alike, short and long, by its own template and by a request’s', async (t) => {
  const prompts = reader(t, folder)
  const own = ModelChatTemplate.load(folder)
  const encoding = { addSpecialTokens: false, param: 'messages' }
  prompts.warm()
  for (const content of ['hi', words(30_000), words(4090), 'hi']) {
    const messages = [{ role: 'user', content }]
    const options = { addGenerationPrompt: true, kwargs: { a: { b: [1, null] } } }
    const right = tokenizer.encode(own.render(messages, options), encoding)
    t.same(Array.from(await prompts.encodeConversation({ messages, options }, encoding, stays())), right)
    const template = '<{{ messages[0].content }}>'
    const brought = await prompts.encodeConversation({ messages, options: plain, template }, encoding, stays())
    t.same(Array.from(brought), tokenizer.encode(`<${content}>`, encoding))
  }
})

t.test("a request's template is used instead of the model's, with a model that has none too", async (t) => {
  for (const own of ['own', undefined]) {
    const prompts = reader(t, folder, new ModelChatTemplate(own, tokens))
    t.equal(await rendered(prompts, '{{ eos_token }}{{ messages[0].content }}'), '</s>hi')
    await t.rejects(rendered(prompts, '{% if %}'), { message: /not valid/ })
    if (own === undefined) await t.rejects(rendered(prompts, own), { message: /has no chat template/ })
  }
})

t.test("a request's template that never ends, or fills the memory, costs its own request alone", async (t) => {
  const prompts = reader(t, folder)
  const doubling =
    "{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(21) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
  const wrong = [ENDLESS, FILLING, doubling].map((given) => failure(rendered(prompts, given)))
  t.equal(await rendered(prompts, '{{ messages[0].content }} still'), 'hi still')
  const [slow, large, long] = await Promise.all(wrong)
  t.match(slow, { message: /the request's chat template took more than 1000 ms/ })
  t.match(large, { message: /took more than \d+ (ms|MB)/ })
  t.match(long, { message: /more than 16777216 characters/ })
  t.match(await failure(rendered(prompts, '{{ range(200000000)|length }}')), { message: /Range too big/ })
  for (const error of [slow, large, long]) t.ok(error instanceof TemplateError)
})

t.test("the model's own template may be as hostile: it is refused, and the main thread goes on", async (t) => {
  for (const source of [
    ENDLESS,
    '{{ range(1000000000) | length }}',
    '{% set n = namespace(a=[1]) %}{% for i in range(40) %}{% set n.a = n.a + n.a %}{% endfor %}{{ n.a }}',
    '{{ 2 ** (10 ** 9) }}',
    "{{ 'a' * 10 ** 9 }}",
  ]) {
    const prompts = reader(t, folder, new ModelChatTemplate(source, tokens))
    prompts.warm()
    const gap = await longestGap(async () => {
      const error = await failure(prompts.encodeConversation({ messages: user, options: plain }, encoding, stays()))
      t.ok(error instanceof TemplateError, source)
      t.match(error, {
        message:
          /the chat template (took more than \d+ (ms|MB)|failed: (Range too big|a list of more than|a text of more than|an integer of that size))/,
      })
    })
    t.ok(gap < 500, `${source}: the longest gap was ${gap} ms`)
    t.equal(await rendered(prompts, 'still {{ messages[0].content }}'), 'still hi')
  }
})

const needsLinux = process.platform !== 'linux' && 'reads /proc, which only Linux has'

t.test('a process of templates may leave no core file, and gives way', { skip: needsLinux }, async (t) => {
  const prompts = reader(t, folder)
  await rendered(prompts, 'x')
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean)
  const mine = pids.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('tokenizer/process.js'))
  t.ok(mine.length > 0)
  for (const pid of mine) {
    t.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +0 +0 /m)
    for (const thread of readdirSync(`/proc/${pid}/task`))
      t.equal(getPriority(Number(thread)), Math.min(19, getPriority() + 10), 'every thread')
  }
})

t.test('processes end with the server, also with one that was killed', { skip: needsLinux }, async (t) => {
  const support = JSON.stringify(new URL('../../support/prompts.js', import.meta.url))
  const script = `
    const { demoPrompts } = await import(${support})
    const prompts = demoPrompts()
    const ask = (given) => prompts.render({ messages: [], options: {}, template: given }, new AbortController().signal)
    await ask('x')
    setTimeout(() => console.log('it loops'), 300)
    await ask(${JSON.stringify(ENDLESS)})`
  const server = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout, 'data')
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').split(' ').filter(Boolean)
  t.equal(children.length, 1)
  server.kill('SIGKILL')
  const gone = () =>
    children.every((pid) => !existsSync(`/proc/${pid}/cmdline`) || readFileSync(`/proc/${pid}/cmdline`).length === 0)
  for (let i = 0; i < 100 && !gone(); i++) await sleep(100)
  t.ok(gone())
})

t.test('a tokenizer that hangs on a text is refused, and the main thread goes on', async (t) => {
  const hostile = temporaryFolder(t)
  cpSync(folder, hostile, { recursive: true })
  const file = path.join(hostile, 'tokenizer.json')
  const definition = JSON.parse(readFileSync(file, 'utf8'))
  definition.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false }
  writeFileSync(file, JSON.stringify(definition))
  const prompts = reader(t, hostile)
  const gap = await longestGap(async () => {
    const error = await failure(prompts.encode([`${'a'.repeat(40)}b`], encoding, stays()))
    t.ok(error instanceof ApiError)
    t.match(error, { code: 'tokenizer_failed', param: 'prompt', message: /tokenizer took more than \d+ ms for 41 characters/ })
  })
  t.ok(gap < 500, `the longest gap was ${gap} ms`)
  t.equal((await prompts.encode(['b'], encoding, stays())).length, 1, 'the next text is read')
})

t.test('who leaves is dropped: at once while waiting, within a second while it is done', async (t) => {
  const prompts = reader(t, folder)
  const left = Array.from({ length: 20 }, () => new AbortController())
  const jobs = left.map(({ signal }) => failure(rendered(prompts, ENDLESS, signal)))
  for (const controller of left) controller.abort()
  const began = performance.now()
  for (const error of await Promise.all(jobs)) t.ok(error instanceof ClientLeft)
  // Each would take a second; the bound leaves room for a machine that builds meanwhile.
  t.ok(performance.now() - began < 3000, `those who left were answered after ${performance.now() - began} ms`)
  t.equal(await rendered(prompts, '{{ messages[0].content }}'), 'hi')
  t.ok(performance.now() - began < 10_000, `served after ${performance.now() - began} ms instead of 20 s`)
  const gone = new AbortController()
  gone.abort()
  t.ok((await failure(prompts.encode([words(9000)], encoding, gone.signal))) instanceof ClientLeft)
})

t.test('those who read much take turns', async (t) => {
  const prompts = reader(t, folder)
  await prompts.encode([words(5000)], encoding, stays())
  const order: string[] = []
  const many = Array.from({ length: 6 }, (_, i) => words(40_000, i))
  await Promise.all([
    prompts.encode(many, encoding, stays()).then(() => order.push('many')),
    prompts.encode([words(5000, 99)], encoding, stays()).then(() => order.push('few')),
  ])
  t.same(order, ['few', 'many'])
})
