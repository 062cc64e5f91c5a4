/**
 * Which way the house's walls are open: what each folder of TypeScript and each room of C++ may import or include, held by reading every source file; that no two
 * TypeScript files need each other; and that the product knows nothing of what checks it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { repoRoot } from './support/repo.ts'

const root = repoRoot()
const TYPESCRIPT = /\.ts$/
const CPP = /\.(h|cc|cu|cuh)$/

/** What each folder may import, itself aside: of `types` only types. */
const may: Record<string, { values: string[]; types: string[] }> = {
  server: { values: ['runtime', 'adapters-store'], types: ['native'] },
  runtime: { values: ['adapters-store', 'native'], types: [] },
  'adapters-store': { values: ['native'], types: [] },
  native: { values: [], types: [] },
}

/** What each room of native/ may include, itself aside: the rooms below it. `fold` stands beside ops, `device` beside kernels. */
const below: Record<string, string[]> = {
  napi: ['engine', 'ops', 'fold', 'pool', 'ort', 'step', 'kernels', 'device', 'numeric'],
  engine: ['ops', 'fold', 'pool', 'ort', 'step', 'kernels', 'device', 'numeric'],
  ops: ['pool', 'ort', 'step', 'kernels', 'device', 'numeric'],
  fold: ['ort', 'kernels', 'numeric'],
  pool: ['ort', 'step', 'kernels', 'device', 'numeric'],
  ort: ['kernels', 'numeric'],
  step: ['kernels', 'numeric'],
  kernels: ['device', 'numeric'],
  device: [],
  numeric: [],
}

/** The folder's files with such names, relative to the repository; not those of others (third_party). */
function sources(folder: string, names: RegExp): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => path.join(folder, file))
    .filter((file) => names.test(file) && !/third_party|fixtures|node_modules/.test(file))
    .sort()
}

const textOf = (file: string) => readFileSync(path.join(root, file), 'utf8')

interface Import {
  /** Relative to the repository. */
  file: string
  typeOnly: boolean
  line: string
}

/** A TypeScript file's relative imports: static ones, re-exports, those for their effects alone, and import() of values and of types. */
function imports(file: string): Import[] {
  const text = textOf(file)
  const found = (pattern: RegExp, typeOnly: (match: RegExpMatchArray) => boolean): Import[] =>
    [...text.matchAll(pattern)].map((match) => ({
      file: path.join(path.dirname(file), match.at(-1) as string),
      typeOnly: typeOnly(match),
      line: match[0],
    }))
  return [
    ...found(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'(\.[^']+)'/gm, (match) => match[1] !== undefined),
    ...found(/^import\s+'(\.[^']+)'/gm, () => false),
    ...found(/\bimport\(\s*'(\.[^']+)'/g, () => false),
  ]
}

/** Groups of files that reach each other (Tarjan's strongly connected components of more than one file, or of one that imports itself). */
function circles(edges: Map<string, string[]>): string[][] {
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (file: string): void => {
    index.set(file, index.size)
    low.set(file, index.get(file) as number)
    stack.push(file)
    const targets = edges.get(file) ?? []
    for (const target of targets) {
      if (!index.has(target)) {
        visit(target)
        low.set(file, Math.min(low.get(file) as number, low.get(target) as number))
      } else if (stack.includes(target)) low.set(file, Math.min(low.get(file) as number, index.get(target) as number))
    }
    if (low.get(file) !== index.get(file)) return
    const group = stack.splice(stack.indexOf(file))
    if (group.length > 1 || targets.includes(file)) found.push(group.sort())
  }
  for (const file of edges.keys()) if (!index.has(file)) visit(file)
  return found
}

for (const [folder, allowed] of Object.entries(may)) {
  t.test(`${folder}/ imports only what design.md allows`, async (t) => {
    const files = sources(folder, TYPESCRIPT)
    t.ok(files.length > 0, 'there are sources to check')
    for (const file of files)
      for (const { file: imported, typeOnly, line } of imports(file)) {
        const [target] = imported.split(path.sep)
        const ok = target === folder || allowed.values.includes(target) || (typeOnly && allowed.types.includes(target))
        if (!ok) t.fail(`${file}: ${line}`)
      }
  })
}

t.test('no TypeScript files import each other in a circle, not for types either', async (t) => {
  const files = Object.keys(may).flatMap((folder) => sources(folder, TYPESCRIPT))
  const edges = new Map(files.map((file) => [file, imports(file).map((found) => found.file)]))
  for (const [file, targets] of edges)
    for (const target of targets) if (!edges.has(target)) t.fail(`${file} imports ${target}, which is not there`)
  t.same(circles(edges), [])
  t.same(circles(new Map(Object.entries({ a: ['b'], b: ['c'], c: ['b'], d: ['d'] }))), [['b', 'c'], ['d']], 'it finds them')
})

t.test('rooms of native/ include only what lies below them', async (t) => {
  const files = sources('native', CPP)
  const rooms = new Set(files.map((file) => file.split(path.sep)[1]))
  for (const room of rooms) t.ok(room in below, `${room} has its place`)
  let seen = 0
  for (const file of files) {
    const [, room] = file.split(path.sep)
    for (const [line, included] of textOf(file).matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
      const [top, target] = path.join(path.dirname(file), included).split(path.sep)
      if (top !== 'native') t.fail(`${file}: ${line} leaves native/`)
      else if (target !== room && target in below && !below[room]?.includes(target)) t.fail(`${file}: ${line}`)
      seen++
    }
  }
  t.ok(seen > 100, `${seen} includes`)
})

t.test('native kernels see neither N-API nor ONNX Runtime', async (t) => {
  const files = sources('native/kernels', CPP)
  t.ok(files.length > 0)
  for (const file of files) t.notMatch(textOf(file), /#include\s+[<"](napi|node_api|onnxruntime)/, file)
})

t.test('the product does not know the emulator', async (t) => {
  for (const file of sources('native', /\.(h|cc|cu|cuh|ts|mjs|cmake|txt)$/)) {
    const comments = /\.(cmake|txt)$/.test(file) ? /#.*$/gm : /\/\*[\s\S]*?\*\/|\/\/.*$/gm
    t.notMatch(textOf(file).replaceAll(comments, ''), /emulat/i, file)
  }
})

t.test('files past 400 lines say why at their head', async (t) => {
  for (const folder of [...Object.keys(may), 'test', 'bench'])
    for (const file of sources(folder, /\.(ts|cc|cu|h|cuh)$/)) {
      const lines = textOf(file).split('\n')
      if (lines.length > 400) t.match(lines.slice(0, 12).join(' '), /\blines\b|one file/i, `${file} has ${lines.length} lines`)
    }
})

t.test('every test file tests something', async (t) => {
  for (const file of sources('test', /\.test\.ts$/)) t.match(readFileSync(path.join(root, file), 'utf8'), /\bt\.\w+\(/, file)
})
