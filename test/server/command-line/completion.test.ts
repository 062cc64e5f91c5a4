/** The completion scripts, run by the shells that they are for. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { COMMANDS } from '../../../server/command-line/commands.ts'
import { completionScript } from '../../../server/command-line/completion.ts'
import { temporaryFolder } from '../../support/repo.ts'
import { lorikeet } from '../cli/running.ts'

const missing = (shell: string) => spawnSync(shell, ['-c', 'true']).error !== undefined && `${shell} is not installed`

/** Folders and a file to complete, one of them with a blank in its name. */
function place(t: { teardown(handler: () => void): unknown }): string {
  const folder = temporaryFolder(t)
  for (const name of ['models', 'my models']) mkdirSync(path.join(folder, name))
  writeFileSync(path.join(folder, 'mine.json'), '')
  return folder
}

/** What each shell has to offer behind these words, the last of which is being written. */
const CASES: { words: string[]; wanted?: string[]; holds?: string[]; lacks?: string[] }[] = [
  { words: ['se'], wanted: ['serve'] },
  { words: [''], holds: COMMANDS.map(({ name }) => name) },
  { words: ['serve', '--dev'], wanted: ['--device'] },
  { words: ['serve', '--device', ''], wanted: ['auto', 'cpu', 'cuda'] },
  { words: ['check', '--quantization', 'int'], wanted: ['int4', 'int8'] },
  { words: ['check', '--js'], wanted: ['--json'] },
  { words: ['check', '--rate-l'], wanted: ['--rate-limit'] },
  { words: ['bench', '--lora-a'], wanted: ['--lora-assignment'] },
  { words: ['bench', '--endpoint', '/v1/c'], wanted: ['/v1/chat/completions', '/v1/completions'] },
  { words: ['key', '--a'], wanted: ['--adapters', '--admin'] },
  { words: ['completion', ''], wanted: ['bash', 'fish', 'zsh'] },
  { words: ['serve', '--no-prefix-c'], wanted: ['--no-prefix-cache'] },
]

t.test('bash', { skip: missing('bash') }, async (t) => {
  const folder = place(t)
  const script = path.join(folder, '.completion')
  writeFileSync(script, completionScript('bash'))
  const complete = (words: string[]) => {
    const line = ['lorikeet', ...words]
    const run = `set -u; source "$SCRIPT"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lorikeet; printf '%s\\n' "\${COMPREPLY[@]+"\${COMPREPLY[@]}"}"`
    const out = execFileSync('bash', ['--norc', '-c', run, 'bash', ...line], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, SCRIPT: script },
    })
    return out.split('\n').filter(Boolean).sort()
  }
  for (const { words, wanted, holds = [] } of CASES) {
    const found = complete(words)
    if (wanted) t.same(found, wanted, words.join(' '))
    for (const one of holds) t.ok(found.includes(one), `${words.join(' ')}: ${one}`)
  }
  t.same(complete(['serve', '--device', '=']), ['auto', 'cpu', 'cuda'], '--device=')
  t.same(complete(['serve', '--device', '=', 'cp']), ['cpu'])
  for (const words of [
    ['serve', 'm'],
    ['check', '--adapters', 'm'],
    ['bench', '--result-dir', 'm'],
  ])
    t.same(complete(words), ['models', 'my models'], words.join(' '))
  t.same(complete(['serve', '--api-key-file', 'mine']), ['mine.json'])
  t.same(complete(['serve', '--port', '8']), [], 'a number is nothing to complete')
  t.same(complete(['bench', 'h']), [])
  for (const { name, flags, more = {} } of COMMANDS)
    for (const flag of Object.keys({ ...flags, ...more }))
      t.ok(complete([name, `--${flag}`]).includes(`--${flag}`), `${name} --${flag}`)
})

t.test('fish', { skip: missing('fish') }, async (t) => {
  const folder = place(t)
  const script = path.join(folder, '.completion')
  writeFileSync(script, completionScript('fish'))
  const complete = (words: string[]) => {
    const env = {
      ...process.env,
      SCRIPT: script,
      LINE: ['lorikeet', ...words].join(' '),
      HOME: folder,
      XDG_CONFIG_HOME: folder,
      XDG_DATA_HOME: folder,
    }
    const out = execFileSync('fish', ['--no-config', '-c', 'source $SCRIPT; complete -C $LINE'], {
      cwd: folder,
      encoding: 'utf8',
      env,
    })
    return out
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t')[0])
      .sort()
  }
  for (const { words, wanted, holds = [] } of CASES) {
    const found = complete(words)
    if (wanted) t.same(found, wanted, words.join(' '))
    for (const one of holds) t.ok(found.includes(one), `${words.join(' ')}: ${one}`)
  }
  t.ok(complete(['serve', '--adapters', 'm']).includes('models/'))
  t.notOk(complete(['serve', '--adapters', 'm']).includes('mine.json'))
  t.ok(complete(['serve', '--api-key-file', 'mi']).includes('mine.json'))
})

t.test('zsh', { skip: missing('zsh') }, async (t) => {
  const folder = place(t)
  const script = path.join(folder, '_lorikeet')
  writeFileSync(script, completionScript('zsh'))
  t.equal(spawnSync('zsh', ['-f', '-n', script]).status, 0, 'it can be read')
  // The completion system works in an editor alone: what the script hands to it is read.
  const run = `compdef() {}; _describe() { print -rl -- \${(P)2} }; _arguments() { print -rl -- "$@" }; source $SCRIPT; words=(lorikeet "$@"); CURRENT=$#words; _lorikeet`
  const told = (...words: string[]) =>
    execFileSync('zsh', ['-f', '-c', run, 'zsh', ...words], { encoding: 'utf8', env: { ...process.env, SCRIPT: script } }).split(
      '\n',
    )
  t.same(
    told('se')
      .filter(Boolean)
      .map((line) => line.split(':')[0]),
    COMMANDS.map(({ name }) => name),
  )
  const serve = told('serve', '--')
  t.ok(serve.some((spec) => /^--device=\[.*\]:device:\(auto cpu cuda\)$/.test(spec)))
  t.ok(serve.some((spec) => /^--adapters=\[.*\]:folder:_files -\/$/.test(spec)))
  t.ok(
    serve.some((spec) => /^\*--api-key=\[/.test(spec)),
    'it may be repeated',
  )
  t.ok(serve.includes('*:folder:_files -/'))
  t.ok(told('completion', '').includes('1:shell:(bash zsh fish)'))
  for (const { name, flags, more = {} } of COMMANDS) {
    const specs = told(name, '--')
    for (const flag of Object.keys({ ...flags, ...more }))
      t.ok(
        specs.some((spec) => spec.replace(/^\*/, '').match(/^--[a-z-]+/)?.[0] === `--${flag}`),
        `${name} --${flag}`,
      )
  }
})

t.test('it is printed by the command, and by no other name', async (t) => {
  const { code, stdout } = await lorikeet(['completion', 'bash']).ended
  t.equal(code, 0)
  t.equal(stdout, completionScript('bash'))
  const wrong = await lorikeet(['completion', 'tcsh']).ended
  t.equal(wrong.code, 1)
  t.match(wrong.stderr, 'lorikeet completion is for one of bash, zsh, fish, not tcsh')
})
