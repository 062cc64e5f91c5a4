/** What is committed is what the TypeScript says. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { manifests } from '../../../deploy/kubernetes/source/manifests.ts'
import { repoRoot } from '../../support/repo.ts'

const root = path.join(repoRoot(), 'deploy/kubernetes')

t.test('each file is written as source/ has it, and there is no other', async (t) => {
  const written = manifests()
  t.ok(written.size > 30)
  const committed = ['base', 'components', 'overlays'].flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name))),
  )
  t.same(committed.sort(), [...written.keys()].sort(), 'node dist/deploy/kubernetes/source/write.js writes them anew')
  for (const [name, text] of written)
    if (committed.includes(name)) t.equal(readFileSync(path.join(root, name), 'utf8'), text, name)
})
