/** The addon's build without test/ and bench/, as an image has it. */
import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { repoRoot } from '../support/repo.ts'

const hasCMake = !spawnSync('cmake', ['--version']).error

t.test('configures without the tests', { skip: hasCMake ? false : 'CMake is not installed' }, (t) => {
  const folder = t.testdir()
  cpSync(path.join(repoRoot(), 'native'), path.join(folder, 'native'), { recursive: true })
  const include = ['node-api-headers/include', 'node-addon-api'].map((name) => path.join(repoRoot(), 'node_modules', name))
  const done = spawnSync('cmake', ['-S', 'native', '-B', 'build', `-DNODE_API_INCLUDE=${include.join(';')}`], {
    cwd: folder,
    encoding: 'utf8',
  })
  t.equal(done.status, 0, done.stderr)
  t.match(done.stdout, /Generating done/)
  t.end()
})
