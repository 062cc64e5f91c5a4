/** deploy/setup-cuda.mjs in a checkout of its own: what it refuses without a registry, and with one, that it sets up and then has nothing to do. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { repoRoot, temporaryFolder } from '../support/repo.ts'

const skip = `${process.platform}/${process.arch}` !== 'linux/x64' && 'the CUDA provider is for Linux on x64'
const PROVIDERS = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so']

/** A checkout with onnxruntime-node and, if `compiled`, the server; `run` starts the script with Node and npm, or with the test's own npm. */
function checkout(t: { teardown(handler: () => void): unknown }, { compiled = true } = {}) {
  const root = temporaryFolder(t)
  const file = (...parts: string[]) => path.join(root, ...parts)
  mkdirSync(file('deploy'))
  mkdirSync(file('node_modules'))
  cpSync(path.join(repoRoot(), 'deploy/setup-cuda.mjs'), file('deploy/setup-cuda.mjs'))
  symlinkSync(path.join(repoRoot(), 'node_modules/onnxruntime-node'), file('node_modules/onnxruntime-node'))
  if (compiled) symlinkSync(path.join(repoRoot(), 'dist'), file('dist'))
  const npm = (script: string) => {
    mkdirSync(file('bin'), { recursive: true })
    writeFileSync(file('bin/npm'), `#!/bin/sh\n${script}\n`)
    chmodSync(file('bin/npm'), 0o755)
  }
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [file('deploy/setup-cuda.mjs'), ...args], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${file('bin')}:${process.env.PATH}` },
    })
    return { status, stdout, stderr }
  }
  /** What lies in build/: nothing, unless a run ended well. */
  const built = () => (existsSync(file('build')) ? readdirSync(file('build')) : [])
  return { file, npm, run, built }
}

t.test('a package with other bytes than the registry states is refused', { skip }, async (t) => {
  const { file, run, built } = checkout(t)
  writeFileSync(file('other.tgz'), 'not the package')
  const { status, stderr } = run('--archive', 'other.tgz')
  t.equal(status, 1)
  t.match(stderr, /other\.tgz is not com\.github\.asus4\.onnxruntime\.linux-x64-gpu@0\.4\.9\n {2}expected sha512-FopIhNE/)
  t.match(stderr, `found    sha512-${createHash('sha512').update('not the package').digest('base64')}`)
  t.same(built(), [], 'nothing is left behind')
  t.match(run('--archive', 'none.tgz'), { status: 1, stderr: /none\.tgz does not exist/ })
})

t.test("where no registry can be reached it passes on npm's reason and says what to do instead", { skip }, async (t) => {
  const { npm, run, built } = checkout(t)
  npm('echo "npm error network ENOTFOUND" >&2; exit 1')
  const { status, stderr } = run()
  t.equal(status, 1)
  t.match(stderr, /cannot be fetched:\nnpm error network ENOTFOUND\n.*--archive FILE/)
  t.same(built(), [])
})

t.test('a provider of another version than onnxruntime-node is not set up', { skip }, async (t) => {
  const { file, run } = checkout(t)
  rmSync(file('node_modules/onnxruntime-node'))
  t.match(run(), { status: 1, stderr: /onnxruntime-node is not installed/ })
  mkdirSync(file('node_modules/onnxruntime-node'))
  writeFileSync(file('node_modules/onnxruntime-node/package.json'), '{"version": "1.31.0"}')
  t.match(run(), { status: 1, stderr: /onnxruntime-node is 1\.31\.0, but .* ONNX Runtime 1\.29\.0: both must be of one version/ })
})

t.test('--check changes nothing and fails while something is missing', { skip }, async (t) => {
  const { npm, run, built } = checkout(t)
  npm('echo "npm was called" >&2; exit 1')
  const { status, stdout, stderr } = run('--check')
  t.equal(status, 1)
  t.equal(stderr, '')
  t.match(stdout, /this machine needs:\n(.*\n)*? {2}- ONNX Runtime's CUDA provider is not set up/)
  t.same(built(), [])
  const before = checkout(t, { compiled: false }).run('--check')
  t.match(before, { status: 1, stdout: /not checked: the server is not built \(`npm run build`\)/ })
})

t.test('arguments that it does not know are refused', { skip }, async (t) => {
  const { run } = checkout(t)
  for (const args of [['--chek'], ['--archive'], ['--check', 'more']])
    t.match(run(...args), { status: 1, stderr: /^lorikeet: usage: / })
})

/** Why the real package cannot be fetched here. Asks for a package that the checkout has from the same registry. */
function unreachable(): string | false {
  const asked = spawnSync('npm', ['view', 'onnxruntime-node@1.29.0', 'version', '--fetch-retries=0', '--fetch-timeout=10000'], {
    encoding: 'utf8',
  })
  return asked.status !== 0 && `the registry cannot be reached: ${(asked.error?.message ?? asked.stderr).split('\n')[0]}`
}

t.test(
  'the real package is fetched, checked and put where ONNX Runtime looks; again, there is nothing to do',
  {
    skip: skip || unreachable(),
  },
  async (t) => {
    const { file, npm, run, built } = checkout(t)
    const first = run()
    t.equal(first.status, 0, first.stderr)
    t.match(first.stdout, /fetching .* …\n.*the CUDA provider of ONNX Runtime 1\.29\.0 is in build\/cuda-provider\n/)
    t.same(built(), ['cuda-provider'])
    t.same(readdirSync(file('build/cuda-provider')).sort(), ['libonnxruntime.so.1', ...PROVIDERS, 'setup.json'])
    for (const name of PROVIDERS)
      t.equal(execFileSync('head', ['-c', '4', file('build/cuda-provider', name)], { encoding: 'latin1' }), '\x7fELF', name)
    t.equal(
      realpathSync(file('build/cuda-provider/libonnxruntime.so.1')),
      realpathSync(file('node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1')),
    )
    t.notMatch(first.stdout, /provider is not set up/)

    npm('echo "npm was called" >&2; exit 1')
    const again = run()
    t.equal(again.status, 0, again.stderr)
    t.match(again.stdout, /is in place\n/)
    rmSync(file('build/cuda-provider', PROVIDERS[1]))
    t.match(run(), { status: 1, stderr: /npm was called/ }, 'what was lost is fetched again')
  },
)
