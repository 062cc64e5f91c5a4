/** Models that know what an object of each kind may hold: Kubernetes' own of kubernetes-models, the others' made of deploy/kubernetes/crds while the test runs. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import ts from 'typescript'
import { parseAllDocuments, stringify } from 'yaml'
import type { KubernetesObject } from '../../../deploy/kubernetes/source/folder.ts'
import { repoRoot } from '../../support/repo.ts'

type Model = new (data: object) => { validate(): void }
export interface Models {
  /** Throws when the object is not one of its kind, or nobody knows the kind. */
  validate(object: KubernetesObject): Promise<void>
}

interface Schema {
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema | false
}

interface Definition {
  spec: { group: string; names: { kind: string }; versions: { name: string; schema: { openAPIV3Schema: Schema } }[] }
}

/** As the API server does it where it is asked to be strict: a field that nobody declared is a mistake. */
function closed(schema: Schema): void {
  if (schema.properties) schema.additionalProperties = false
  for (const below of Object.values(schema.properties ?? {})) closed(below)
  if (schema.items) closed(schema.items)
}

/** The outermost fields; the generated model itself has one more, its `validate`, so that they are checked apart. */
const OUTERMOST = ['apiVersion', 'kind', 'metadata', 'spec']

/** `folder`: an empty one below the repository, so that the generated models find their packages. */
export function modelsIn(folder: string): Models {
  const crds = path.join(repoRoot(), 'deploy/kubernetes/crds')
  const definitions = readdirSync(crds)
    .filter((name) => name.endsWith('.yaml'))
    .flatMap((name) =>
      parseAllDocuments(readFileSync(path.join(crds, name), 'utf8')).map((document) => document.toJS() as Definition),
    )
  const kinds = new Set<string>()
  for (const { spec } of definitions)
    for (const { name, schema } of spec.versions) {
      for (const below of Object.values(schema.openAPIV3Schema.properties ?? {})) closed(below)
      kinds.add(`${spec.group}/${name}/${spec.names.kind}`)
    }
  const input = path.join(folder, 'crds.yaml')
  writeFileSync(input, definitions.map((definition) => stringify(definition)).join('---\n'))
  const generator = path.join(repoRoot(), 'node_modules/@kubernetes-models/crd-generate/bin/crd-generate.js')
  const made = path.join(folder, 'models')
  const { status, stderr } = spawnSync(process.execPath, [generator, '--input', input, '--output', made], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`crd-generate: ${stderr}`)
  compile(made, path.join(folder, 'compiled'))
  const require = createRequire(path.join(folder, 'compiled', 'index.js'))
  return {
    async validate({ apiVersion, kind, ...rest }) {
      const custom = kinds.has(`${apiVersion}/${kind}`)
      const strange = Object.keys(rest).find((name) => !OUTERMOST.includes(name))
      if (custom && strange) throw new Error(`${kind} has no ${strange}`)
      const model = custom
        ? require(`./${apiVersion}/${kind}.js`)[kind]
        : (await import(`kubernetes-models/${apiVersion}/${kind}`))[kind]
      ;new (model as Model)(rest).validate()
    },
  }
}

/** The generator writes TypeScript and modules that import without extensions, which only CommonJS resolves. */
function compile(from: string, to: string): void {
  for (const name of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
    if (!/(?<!\.d)\.ts$|\.js$/.test(name)) continue
    const { outputText } = ts.transpileModule(readFileSync(path.join(from, name), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, useDefineForClassFields: false },
    })
    const file = path.join(to, name.replace(/\.ts$/, '.js'))
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, outputText)
  }
  writeFileSync(path.join(to, 'package.json'), '{"type":"commonjs"}')
}
