/** Writes the manifests anew: `node dist/deploy/kubernetes/source/write.js` from the repository's root. Whoever changes source/ commits both. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { manifests } from './manifests.ts'

const root = path.resolve('deploy/kubernetes')
for (const folder of ['base', 'components', 'overlays']) rmSync(path.join(root, folder), { recursive: true, force: true })
for (const [name, text] of manifests()) {
  const file = path.join(root, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
}
