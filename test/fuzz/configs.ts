/**
 * Model folders with one file gone wrong: it is served all the same, or refused in one sentence that names the file. With the sanitized addon (.ci/fuzz) what is
 * served runs a request on the engine as well.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { EngineError, startEngine } from '../../runtime/index.ts'
import { buildModel, ModelError } from '../../runtime/model/index.ts'
import { samplingDefaults } from '../../server/config/generation-config.ts'
import { ConfigError } from '../../server/config/values.ts'
import { TemplateError } from '../../server/errors.ts'
import { ModelChatTemplate } from '../../server/tokenizer/chat-template.ts'
import { ModelTokenizer } from '../../server/tokenizer/tokenizer.ts'
import { ask } from '../support/ask.ts'
import { demoModel, fixture } from '../support/repo.ts'
import { changed, changedBytes, type Json, jsonBytes } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

/** Contexts beyond it make rope tables of hundreds of megabytes: allowed, and no work for a fuzzer. */
const LONGEST_CONTEXT = 2 ** 17
const LONGEST_MESSAGE = 2000

const scratch = mkdtempSync(path.join(tmpdir(), 'lorikeet-fuzz-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

/** Each base once; a case changes one file and puts it back. */
const bases = ['demo', ...readdirSync(fixture('oracle')).filter((name) => existsSync(fixture('oracle', name, 'base')))].map(
  (name) => {
    const folder = path.join(scratch, name)
    cpSync(name === 'demo' ? demoModel('base') : fixture('oracle', name, 'base'), folder, { recursive: true })
    return folder
  },
)
/** Those that write tokenizers in all styles. */
const styles = readdirSync(fixture('tokenizer')).filter((name) => /^(?!vectors|chat).*\.json$/.test(name))

/** A weight file with its header changed. */
function weightsOf(random: Random, bytes: Buffer): Buffer {
  const end = 8 + Number(bytes.readBigUInt64LE(0))
  const data = bytes.subarray(end)
  if (random.below(5) === 0) return changedBytes(random, bytes.subarray(0, end + 16))
  const header = jsonBytes(random, changed(random, JSON.parse(bytes.toString('utf8', 8, end)) as Json))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(random.below(20) ? BigInt(header.length) : BigInt(random.pick([0, 7, 2 ** 40, 2 ** 53])))
  return Buffer.concat([length, header, random.below(10) ? data : data.subarray(0, random.below(data.length))])
}

function contentOf(random: Random, folder: string, name: string): Buffer {
  if (name === 'tokenizer.json' && random.below(2)) {
    const style = readFileSync(fixture('tokenizer', random.pick(styles)))
    return jsonBytes(random, changed(random, JSON.parse(String(style)) as Json))
  }
  const file = path.join(folder, name)
  if (name === 'chat_template.jinja')
    return changedBytes(random, Buffer.from('{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}'))
  if (name === 'model.safetensors.index.json')
    return jsonBytes(random, changed(random, { metadata: {}, weight_map: { 'lm_head.weight': 'model.safetensors' } }))
  const bytes = existsSync(file) ? readFileSync(file) : Buffer.from('{"eos_token_id":2,"temperature":0.7,"top_k":20}')
  if (!existsSync(file) && name.endsWith('.safetensors')) return changedBytes(random, Buffer.alloc(100))
  return name.endsWith('.safetensors')
    ? weightsOf(random, bytes)
    : jsonBytes(random, changed(random, JSON.parse(String(bytes)) as Json))
}

const TYPES = [ModelError, ConfigError, EngineError, TemplateError]

/** Refusals are sentences; what names neither its file nor a tensor was not meant for people. */
function judge(error: unknown, folder: string, changedFile: string): string {
  if (!(error instanceof Error)) throw new Fault(`thrown: ${error}`)
  const { message } = error
  const ours = TYPES.some((type) => error instanceof type) || error.constructor === Error
  if (!ours) throw new Fault(`${changedFile}: ${error.stack}`)
  if (message.length > LONGEST_MESSAGE)
    throw new Fault(`${changedFile}: a message of ${message.length} characters: ${message.slice(0, 200)}`)
  const named =
    message.includes(changedFile) ||
    message.includes(folder) ||
    /\btensor \S|chat template|tokenizer\.json|config\.json|max_position_embeddings|\.safetensors /.test(message)
  if (!named) throw new Fault(`${changedFile}: ${error.constructor.name} names no file: ${message}`)
  return `refused: ${changedFile}`
}

/** Reads the folder as `serve` does; true if the model can be built. */
function read(folder: string): void {
  samplingDefaults(folder)
  if (existsSync(path.join(folder, 'tokenizer.json'))) {
    const tokenizer = ModelTokenizer.load(folder)
    ModelChatTemplate.load(folder)
    tokenizer.token(5)
  }
  const longest = Number(/"max_position_embeddings":(\d+)/.exec(String(readFileSync(path.join(folder, 'config.json'))))?.[1])
  buildModel(folder, longest > LONGEST_CONTEXT ? { maxModelLen: 256 } : {})
}

/** Starts the engine on it and asks for four tokens. */
async function serves(folder: string): Promise<void> {
  const engine = await startEngine({
    ...{ modelDir: folder, dtype: 'float32', device: 'cpu', poolBytes: 4 << 20, maxBatchTokens: 32, maxSequences: 4 },
    ...{ maxModelLen: 64, adapterDtype: 'float32', threads: 1, prefixCache: true, validate: true },
  })
  try {
    const { finish, error } = await ask(engine, [1, 5, 3], { maxTokens: 4 })
    // Weights and scales may be such that no number comes out; it must be said then.
    if (finish === 'error' && !error) throw new Fault('the engine failed without a word')
  } finally {
    await engine.close()
  }
}

const FILES = [
  ...['config.json', 'config.json', 'config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'],
  ...['special_tokens_map.json', 'chat_template.jinja', 'model.safetensors', 'model.safetensors', 'model.safetensors.index.json'],
]

async function attempt(random: Random): Promise<string> {
  const folder = random.pick(bases)
  const name = random.pick(FILES)
  const file = path.join(folder, name)
  const before = existsSync(file) ? readFileSync(file) : undefined
  writeFileSync(file, contentOf(random, folder, name))
  try {
    read(folder)
    if (process.env.LORIKEET_ADDON === undefined || /token|template/.test(name) || statSync(file).size > 1 << 24) return 'read'
    await serves(folder)
    return 'served'
  } catch (error) {
    if (error instanceof Fault) throw error
    return judge(error, folder, name)
  } finally {
    if (before) writeFileSync(file, before)
    else rmSync(file)
  }
}

await run({
  name: 'configs',
  attempt,
  expected: ['read', 'refused: config.json', 'refused: tokenizer.json', 'refused: model.safetensors'],
  patience: 30_000,
})
