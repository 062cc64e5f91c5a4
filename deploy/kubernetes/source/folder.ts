/** What a folder of kustomize holds, and how it is written. */
import { stringify } from 'yaml'

export interface KubernetesObject {
  apiVersion: string
  kind: string
  metadata?: { name?: string }
  spec?: unknown
}

/** One of kubernetes-models' objects, which know their own schema. */
interface Validated extends KubernetesObject {
  validate(): void
}

/** Part of an object, laid over the one of that kind and name; null takes a field away. */
export type Patch<T> = T extends (infer Item)[]
  ? Patch<Item>[]
  : T extends object
    ? { [Key in keyof T]?: Patch<T[Key]> | null }
    : T

/** A kind that Kubernetes does not know by itself: held to ../crds in the tests. */
export interface CustomObject extends KubernetesObject {
  metadata: { name: string }
  spec: Record<string, unknown>
}

export interface Folder {
  /** From deploy/kubernetes. */
  path: string
  /** The file's first lines. */
  about: string
  kind?: 'Component'
  namespace?: string
  /** Folders that are laid under this one, from here. */
  bases?: string[]
  components?: string[]
  resources?: Record<string, Validated | CustomObject>
  patches?: Record<string, KubernetesObject>
  /** Files that become a ConfigMap whose name changes with them, so that pods are made anew. */
  config?: { name: string; files: Record<string, unknown> }
  images?: { name: string; newTag: string }[]
}

const text = (value: unknown) => stringify(JSON.parse(JSON.stringify(value)), { lineWidth: 0, aliasDuplicateObjects: false })
const comment = (about: string) =>
  `${about
    .split('\n')
    .map((line) => `# ${line}`)
    .join('\n')}\n`

/** The files of a folder with their texts, by their paths from deploy/kubernetes. Throws when an object is not one of its kind. */
export function filesOf(folder: Folder): Map<string, string> {
  const { path, about, namespace, bases = [], components, resources = {}, patches = {}, config, images } = folder
  const files = new Map<string, string>()
  const name = (file: string) => `${path}/${file}.yaml`
  for (const [file, resource] of Object.entries(resources)) {
    if ('validate' in resource) resource.validate()
    files.set(name(file), text(resource))
  }
  for (const [file, patch] of Object.entries(patches)) files.set(name(file), text(patch))
  for (const [file, content] of Object.entries(config?.files ?? {})) files.set(name(file), text(content))
  const named = (of: Record<string, unknown>) => Object.keys(of).map((file) => `${file}.yaml`)
  const component = folder.kind === 'Component'
  const kustomization = {
    apiVersion: `kustomize.config.k8s.io/${component ? 'v1alpha1' : 'v1beta1'}`,
    kind: component ? 'Component' : 'Kustomization',
    namespace,
    resources: listed([...bases, ...named(resources)]),
    components,
    patches: listed(named(patches).map((path) => ({ path }))),
    configMapGenerator: config && [{ name: config.name, files: named(config.files) }],
    images,
  }
  files.set(name('kustomization'), comment(about) + text(kustomization))
  return files
}

const listed = <T>(items: T[]) => (items.length > 0 ? items : undefined)
