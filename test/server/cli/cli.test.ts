import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { cudaMissing } from '../../../native/cuda-host.ts'
import { VERSION } from '../../../server/version.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'
import { lorikeet, serving } from './running.ts'

t.test('help and version', async (t) => {
  for (const args of [[], ['--help'], ['-h'], ['help']]) {
    const { code, stdout } = await lorikeet(args).ended
    t.equal(code, 0)
    t.match(stdout, 'lorikeet serve [MODEL_DIR]')
  }
  const help = await lorikeet(['serve', '--help']).ended
  t.equal(help.code, 0)
  t.match(help.stdout, '--max-batch-tokens N')
  t.equal((await lorikeet(['--version']).ended).stdout, `${VERSION}\n`)
})

t.test('what is wrong is one line on stderr, and the exit code is 1', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  t.teardown(() => blocker.close())
  const { port } = blocker.address() as { port: number }
  const wrong: [string[], RegExp][] = [
    [['sevre'], /unknown command sevre; did you mean serve\?/],
    [['serve', '--prot', '80'], /unknown flag --prot; did you mean --port\?/],
    [['serve', '/no/such/folder'], /model folder \/no\/such\/folder does not exist/],
    [
      ['serve', demoModel('adapters/pirate')],
      /pirate is an adapter and not a model: .*MODEL_DIR, and --adapter NAME=\S+pirate$/m,
    ],
    [['serve', '--p\u001b[2J', '1'], /unknown flag --p\\u001b\[2J/],
    [['serve', '--device', 'cpu', '--enforce-eager'], /--enforce-eager: only with --device cuda/],
    [['serve', '--adapters', '/no/such/folder', '--port', '0'], /adapter folder \/no\/such\/folder cannot be read/],
    [['serve', '--served-model-name', 'pirate', '--port', '0'], /an adapter has the base model's name, pirate/],
    [['serve', '--port', String(port)], /EADDRINUSE.*choose another with --port/],
  ]
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await lorikeet(args).ended
    t.equal(code, 1, args.join(' '))
    t.match(stderr, message)
    t.match(stderr, /^lorikeet: [^\n]*\n$/)
    t.equal(stdout, '')
  }
})

t.test(
  '--device cuda says in a list what is missing',
  { skip: cudaMissing().length === 0 && 'CUDA can be used here' },
  async (t) => {
    const { code, stdout, stderr } = await lorikeet(['serve', '--device', 'cuda']).ended
    t.equal(code, 1)
    t.equal(stdout, '')
    t.match(stderr, /^lorikeet: --device cuda cannot be used here\n( {2}- \S[^\n]*\n)+$/)
  },
)

t.test('it says what it runs on, what it serves and where, and every adapter that it refuses', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(demoModel('adapters/pirate'), path.join(folder, 'pirate'), { recursive: true })
  cpSync(demoModel('adapters/json/adapter_config.json'), path.join(folder, 'hollow/adapter_config.json'), { recursive: true })
  mkdirSync(path.join(folder, 'no adapter'))
  symlinkSync(demoModel('adapters/robot'), path.join(folder, 'out\u001b[2J\u202e'))
  const { child, address, stdout, stderr, ended } = await serving(t, ['--adapters', folder, '--device', 'cpu'], {
    LORIKEET_QUANTIZATION: 'int8',
  })
  t.match(stdout(), /^lorikeet: device: cpu \((avx512\w*|avx2|portable|neon\w*)\), float32, int8 weights, float16 KV cache\n/)
  t.equal(stdout().split('\n').slice(1).join('\n'), `lorikeet: serving demo with 2 adapters on ${address}\n`)
  // Adapters are read beside serving.
  for (let i = 0; i < 200 && stderr().split('\n').length < 3; i++) await setTimeout(20)
  const [out, hollow, ...rest] = stderr().split('\n')
  t.equal(hollow, `lorikeet: adapter hollow (${folder}/hollow) is refused: the folder has no adapter_model.safetensors`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none must come
  t.notMatch(out, /[\u0000-\u001f\u202e]/)
  t.same(rest, [''])
  const asked = await fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'hollow', prompt: 'a' }),
  })
  const told = await asked.text()
  t.match(told, 'has no adapter_model.safetensors')
  t.notMatch(told, folder, 'clients are told no path')
  t.equal((await fetch(`${address}/health`)).status, 200)
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
})

t.test('Ctrl-C lets an answer under way end; the same key passed on by npm does not cut it', async (t) => {
  const { child, address, ended } = await serving(t, [])
  const body = { prompt: 'Once', max_tokens: 200, ignore_eos: true, stream: true }
  const response = await fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  child.kill('SIGINT')
  child.kill('SIGINT')
  t.match(await response.text(), /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/)
  const { code, stderr } = await ended
  t.equal(code, 0)
  t.match(stderr, /^(lorikeet: finishing what is in flight[^\n]*\n)?$/)
})

t.test('another Ctrl-C a moment later ends at once', async (t) => {
  const { child, address, ended } = await serving(t, [])
  // An answer that nobody reads does not end.
  const body = { prompt: 'Once', max_tokens: 1000, ignore_eos: true, n: 100, stream: true }
  const response = await fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  child.kill('SIGINT')
  await setTimeout(700)
  child.kill('SIGINT')
  t.match(await ended, { code: null, signal: 'SIGINT' }, '130, as shells count')
  await response.text().catch(() => {})
})

t.test('nothing of ours, or of what we use, is written to the home folder or told to anybody', async (t) => {
  const home = temporaryFolder(t)
  const start = Date.now()
  const { child } = await serving(t, [], { HOME: home, XDG_CACHE_HOME: path.join(home, 'cache') })
  t.same(readdirSync(home), [], "ONNX Runtime's telemetry keeps a database there otherwise")
  // Another process of this number may have left one, long ago.
  const log = statSync(`/tmp/mat-debug-${child.pid}.log`, { throwIfNoEntry: false })
  t.notOk(log && log.mtimeMs >= start - 1000)
})
