import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { SETTINGS, type Setting } from '../../../server/config/settings.ts'
import { repoRoot } from '../../support/repo.ts'

t.test('docs/configuration.md lists the settings, their defaults and their variables', async (t) => {
  const page = readFileSync(path.join(repoRoot(), 'docs/configuration.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| `(LORIKEET_[A-Z_]+)` \| (.*?) \| (.*) \|$/gm)]
  t.same(
    rows.map(([, name]) => name),
    Object.keys(SETTINGS),
  )
  for (const [, name, variable, fallback] of rows) {
    const setting: Setting = SETTINGS[name as keyof typeof SETTINGS]
    t.equal(variable, `LORIKEET_${name.toUpperCase().replaceAll('-', '_')}`)
    // The number of threads depends on the machine.
    if (setting.fallback === undefined || name === 'threads') t.notMatch(fallback, /`/, name)
    else t.equal(fallback, `\`${setting.fallback}\``, name)
  }
})
