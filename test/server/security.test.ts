/** docs/security.md names a test for each of its rows; what it names is there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { SETTINGS } from '../../server/config/settings.ts'
import { repoRoot } from '../support/repo.ts'

t.test('every row names a test that is there, and settings that are', async (t) => {
  const page = readFileSync(path.join(repoRoot(), 'docs/security.md'), 'utf8')
  const files = readdirSync(path.join(repoRoot(), 'test'), { recursive: true, encoding: 'utf8' }).map((file) => `test/${file}`)
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| what a client'))
  t.ok(rows.length > 15)
  for (const row of rows) {
    const named = [...(row.split('|').at(-2) ?? '').matchAll(/`([^`]+)`/g)].map(([, file]) => file)
    t.ok(named.length > 0, row.slice(0, 60))
    for (const file of named) t.ok(files.some((known) => known.endsWith(file)) || existsSync(path.join(repoRoot(), file)), file)
  }
  for (const [, setting] of page.matchAll(/`--(?:no-)?([a-z-]+)/g)) t.ok(Object.hasOwn(SETTINGS, setting), setting)
})
