import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { defaultOf } from '../../../server/config/help.ts'
import { SETTINGS, type Setting } from '../../../server/config/settings.ts'
import { repoRoot } from '../../support/repo.ts'

t.test('docs/configuration.md lists the settings, their defaults and their variables', async (t) => {
  const page = readFileSync(path.join(repoRoot(), 'docs/configuration.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| `(LORIKEET_[A-Z_]+)` \| (.*?) \| (.*) \|$/gm)]
  t.same(
    rows.map(([, name]) => name),
    Object.keys(SETTINGS),
  )
  for (const [, name, variable, fallback, meaning] of rows) {
    const setting: Setting = SETTINGS[name as keyof typeof SETTINGS]
    t.equal(variable, `LORIKEET_${name.toUpperCase().replaceAll('-', '_')}`)
    const expected = defaultOf(setting)
    // The number of threads depends on the machine.
    if (expected === undefined || name === 'threads') t.notMatch(fallback, /`/, name)
    else t.equal(fallback.replaceAll('`', ''), expected, name)
    for (const choice of setting.choices ?? []) t.match(meaning, `\`${choice}\``, name)
  }
})
