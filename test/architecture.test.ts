/** The import directions of design.md's table ("The house"), held by reading every source file's imports. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { repoRoot } from './support/repo.ts'

const root = repoRoot()
/** What each folder may import, itself aside. `types` marks folders of which only types.ts (or `import type`) may be used. */
const may: Record<string, { values: string[]; types: string[] }> = {
  server: { values: ['runtime', 'adapters-store'], types: ['native'] },
  runtime: { values: ['adapters-store', 'native'], types: [] },
  'adapters-store': { values: ['native'], types: [] },
  native: { values: [], types: [] },
}

function sources(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => path.join(folder, file))
}

/** Relative imports of a file as (top-level folder, type-only). */
function imports(file: string): { folder: string; typeOnly: boolean; line: string }[] {
  const text = readFileSync(path.join(root, file), 'utf8')
  return [...text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'(\.[^']+)'/gm)].map((match) => ({
    folder: path.relative('.', path.join(path.dirname(file), match[2])).split(path.sep)[0],
    typeOnly: match[1] !== undefined,
    line: match[0],
  }))
}

for (const [folder, allowed] of Object.entries(may)) {
  t.test(`${folder}/ imports only what design.md allows`, async (t) => {
    const files = sources(folder)
    t.ok(files.length > 0, 'there are sources to check')
    for (const file of files)
      for (const { folder: target, typeOnly, line } of imports(file)) {
        const ok = target === folder || allowed.values.includes(target) || (typeOnly && allowed.types.includes(target))
        if (!ok) t.fail(`${file}: ${line}`)
      }
  })
}

t.test('native kernels see neither N-API nor ONNX Runtime', async (t) => {
  const files = readdirSync(path.join(root, 'native/kernels'), { recursive: true, encoding: 'utf8' }).filter((f) =>
    /\.(h|cc|cu|cuh)$/.test(f),
  )
  t.ok(files.length > 0)
  for (const file of files) {
    const text = readFileSync(path.join(root, 'native/kernels', file), 'utf8')
    t.notMatch(text, /#include\s+[<"](napi|node_api|onnxruntime)/, file)
  }
})

t.test('files past 400 lines say why at their head', async (t) => {
  for (const folder of [...Object.keys(may), 'test', 'bench'])
    for (const file of readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|cc|cu|h|cuh)$/.test(file) || /third_party|fixtures|node_modules/.test(file)) continue
      const lines = readFileSync(path.join(root, folder, file), 'utf8').split('\n')
      if (lines.length > 400)
        t.match(lines.slice(0, 12).join(' '), /lines|one file|long/i, `${folder}/${file} has ${lines.length} lines`)
    }
})
