/**
 * Chat templates of any kind, brought by a request or the model's own: a text comes of it or a TemplateError, within the limits of time and memory, and the next
 * conversation is read as ever.
 */
import { ApiError, TemplateError } from '../../server/errors.ts'
import { ModelChatTemplate } from '../../server/tokenizer/chat-template.ts'
import { ModelTokenizer } from '../../server/tokenizer/tokenizer.ts'
import type { ChatMessage, RenderOptions } from '../../server/types.ts'
import { promptsOf } from '../support/prompts.ts'
import { demoModel, fixture, readJson } from '../support/repo.ts'
import { oddJson, oddText } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

const KNOWN = Object.values(readJson<{ templates: Record<string, string> }>(fixture('tokenizer', 'chat.json')).templates)
const NAMES = [
  'messages',
  'm',
  'm.content',
  'm["role"]',
  'tools',
  'bos_token',
  'loop.index',
  'x',
  'ns.a',
  '__proto__',
  'constructor',
  'self',
]
const LITERALS = [
  '1',
  '-1',
  '99999999999',
  '0.5',
  '"a"',
  "'{{'",
  'true',
  'none',
  '[]',
  '{}',
  '[1, 2]',
  '{"a": 1}',
  'range(3)',
  '"x" * 3',
]
const FILTERS = [
  'trim',
  'upper',
  'length',
  'tojson',
  'join(",")',
  'default("d")',
  'first',
  'int',
  'list',
  'items',
  'sort',
  'reverse',
  'nosuch',
  'map("upper")',
  'replace("a", "b")',
]
const TESTS = ['defined', 'none', 'string', 'mapping', 'iterable', 'even', 'nosuch', 'not defined']
const HOSTILE = [
  '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
  '{% set ns = namespace(a="x") %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}',
  '{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}',
  '{{ range(1000000000) | list | length }}',
  '{{ raise_exception("no") }}',
  '{{ ("a" * 100000) | replace("a", "b" * 100000) }}',
  `${'('.repeat(5000)}`,
  `{{ ${'('.repeat(5000)}1${')'.repeat(5000)} }}`,
  '{% if true %}'.repeat(3000),
  '{{ [].constructor.constructor("return process")() }}',
  '{{ messages.__proto__.constructor }}',
]

function expression(random: Random, depth: number): string {
  const inner = () => expression(random, depth - 1)
  switch (random.below(depth > 0 ? 10 : 2)) {
    case 0:
      return random.pick(NAMES)
    case 1:
      return random.pick(LITERALS)
    case 2:
      return `${inner()} ${random.pick(['+', '-', '*', '/', '%', '~', '==', '<', 'and', 'or', 'in', 'not in', '//', '**'])} ${inner()}`
    case 3:
      return `${inner()} | ${random.pick(FILTERS)}`
    case 4:
      return `${inner()} is ${random.pick(TESTS)}`
    case 5:
      return `(${inner()} if ${inner()} else ${inner()})`
    case 6:
      return `${inner()}[${random.pick(['0', '-1', '1:', '::-1', ':2', '"a"', inner()])}]`
    case 7:
      return `${inner()}.${random.pick(['strip()', 'split(",")', 'items()', 'keys()', 'get("a")', 'upper()', 'startswith("a")', 'toString()', 'length'])}`
    case 8:
      return `not ${inner()}`
    default:
      return `[${inner()}, ${inner()}]`
  }
}

function template(random: Random, depth = 3): string {
  const inner = () => (depth > 0 ? template(random, depth - 1) : oddText(random).slice(0, 50))
  const value = () => expression(random, 2)
  switch (random.below(8)) {
    case 0:
      return `{${random.pick(['%', '%-'])} for ${random.pick(['m', 'x', 'k, v'])} in ${random.pick(['messages', 'range(4)', value()])} %}${inner()}{% endfor ${random.pick(['%', '-%'])}}`
    case 1:
      return `{% if ${value()} %}${inner()}{% elif ${value()} %}${inner()}{% else %}${inner()}{% endif %}`
    case 2:
      return `{% set ${random.pick(['x', 'y', 'ns.a', 'a, b'])} = ${value()} %}${inner()}`
    case 3:
      return `{% macro f(a, b=1) %}${inner()}{% endmacro %}{{ f(${value()}) }}`
    case 4:
      return `${inner()}${inner()}`
    case 5:
      return oddText(random).slice(0, 200)
    default:
      return `{{${random.pick(['', '-'])} ${value()} ${random.pick(['', '-'])}}}`
  }
}

/** A known one with pieces cut out, doubled or put elsewhere. */
function damaged(random: Random): string {
  const source = random.pick(KNOWN)
  const [a, b] = [random.below(source.length), random.below(source.length)].sort((x, y) => x - y)
  const piece = source.slice(a, Math.min(b, a + 1 + random.below(80)))
  return random.pick([
    source.slice(0, a) + source.slice(a + piece.length),
    source.slice(0, b) + piece + source.slice(b),
    source.slice(0, b),
    source.replace(piece, oddText(random).slice(0, 30)),
  ])
}

function messagesOf(random: Random): ChatMessage[] {
  return Array.from({ length: 1 + random.below(4) }, () => ({
    role: random.below(3) ? random.pick(['user', 'assistant', 'system']) : oddText(random),
    content: random.below(5) ? oddText(random) : null,
    ...(random.below(3) ? {} : { [oddText(random)]: oddJson(random) }),
  }))
}

const folder = demoModel('base')
const tokenizer = ModelTokenizer.load(folder)
const demo = ModelChatTemplate.load(folder)
const prompts = promptsOf(folder, demo)
const PLAIN: ChatMessage[] = [{ role: 'user', content: 'Tell me a story.' }]
const encoding = { addSpecialTokens: false, param: 'messages' }
const stays = () => new AbortController().signal
const right = String(tokenizer.encode(demo.render(PLAIN, { addGenerationPrompt: true }), encoding))

async function render(random: Random): Promise<string> {
  const kind = random.below(100)
  const source = kind < 2 ? random.pick(HOSTILE) : kind < 50 ? damaged(random) : template(random)
  const options: RenderOptions = {
    addGenerationPrompt: random.below(2) === 1,
    continueFinalMessage: random.below(4) === 0,
    kwargs: random.below(3) ? undefined : Object.fromEntries([[oddText(random), oddJson(random)]]),
  }
  const conversation = { messages: messagesOf(random), options }
  try {
    if (random.below(40) === 0) {
      const own = promptsOf(folder, new ModelChatTemplate(source, demo.tokens))
      try {
        own.warm()
        // The second may be rendered on the main thread.
        await own.encodeConversation({ ...conversation, messages: PLAIN }, encoding, stays()).catch(() => undefined)
        await own.encodeConversation(conversation, encoding, stays())
      } finally {
        own.close()
      }
    } else if (random.below(30) === 0) {
      const left = new AbortController()
      setTimeout(() => left.abort(), random.below(20))
      await prompts.render({ ...conversation, template: source }, left.signal).catch((error) => {
        if (error.message !== 'the client left') throw error
      })
    } else {
      const text = await prompts.render({ ...conversation, template: source }, stays())
      if (typeof text !== 'string') throw new Fault(`no text came: ${JSON.stringify({ source, text })}`)
    }
    return 'rendered'
  } catch (error) {
    if (error instanceof TemplateError || (error instanceof ApiError && error.status === 400)) return 'refused'
    throw error instanceof Fault
      ? error
      : new Fault(`${(error as Error).stack}\n of ${JSON.stringify({ source, conversation }).slice(0, 600)}`)
  }
}

async function attempt(random: Random): Promise<string> {
  const ending = await render(random)
  const ids = await prompts.encodeConversation({ messages: PLAIN, options: { addGenerationPrompt: true } }, encoding, stays())
  if (String([...ids]) !== right) throw new Fault("the model's own template renders otherwise now")
  return ending
}

const end = async () => prompts.close()
await run({ name: 'templates', attempt, expected: ['rendered', 'refused'], patience: 20_000, end })
