/**
 * The adapter's tensors by module. Keys are `base_model.model.<module>.<parameter>`; every one has to be taken by something, because a tensor
 * that is accepted and not applied is a wrong answer.
 */
import { decodeFloats, largestMagnitude } from '../native/floats.ts'
import type { BaseWeights } from './base.ts'
import type { ConfigReader } from './config.ts'
import { AdapterError } from './errors.ts'
import type { FileMatrix } from './fold.ts'
import type { Site, TensorRef, TensorType } from './types.ts'

/** All that an adapter is folded from: what its config and its file say, and the base under it. */
export interface FoldContext {
  config: ConfigReader
  tensors: AdapterTensors
  base: BaseWeights
}

/** A weight or a bias of its own: of a saved module, or of the base where PEFT loads it into the base itself. */
export const WEIGHTS = ['modules_to_save.weight', 'weight', 'base_layer.weight']
export const BIASES = ['bias', 'base_layer.bias', 'modules_to_save.bias']

/** What `save_embedding_layers` adds: the base's own weight behind a wrapper. */
export const COPIES = ['original_module.weight', 'token_adapter.base_layer.weight']

export interface Tensor {
  shape: number[]
  data: Float32Array
}

/** Dimensions; null fits anything. */
export type Shape = (number | null)[]

/** Where a module's name ends in the key of a module that the base lacks; for the error only. */
const PARAMETER =
  /\.(base_layer|modules_to_save|original_module|token_adapter|trainable_tokens|weight$|bias$|[a-z0-9]+_(A|B|E|P|w\d|t\d|l|lambda|block|logits|w_norm|magnitude|embedding)).*$/

/** The tensors of one site, each handed out once. */
export class SiteTensors {
  readonly site: Site
  readonly file: AdapterTensors
  readonly #keys = new Map<string, string>()

  constructor(site: Site, file: AdapterTensors) {
    this.site = site
    this.file = file
  }

  add(parameter: string, key: string): void {
    const earlier = this.#keys.get(parameter)
    if (earlier !== undefined) throw this.file.invalid(`${earlier} and ${key} name the same parameter`)
    this.#keys.set(parameter, key)
  }

  has(...parameters: string[]): boolean {
    return parameters.some((parameter) => this.#keys.has(parameter))
  }

  parameters(): string[] {
    return [...this.#keys.keys()]
  }

  key(parameter: string): string | undefined {
    return this.#keys.get(parameter)
  }

  /** Shape of a parameter without taking it. */
  shape(parameter: string): number[] | undefined {
    const key = this.#keys.get(parameter)
    return key === undefined ? undefined : this.file.shape(key)
  }

  /** Decoded values of `parameter`, which must be there with this shape. */
  take(parameter: string, shape: Shape): Tensor {
    const found = this.optional(parameter, shape)
    if (found) return found
    return this.#missing(parameter)
  }

  #missing(parameter: string): never {
    const there = this.parameters().join(', ')
    throw this.file.invalid(`${this.site.module} lacks ${parameter}, which the method needs (it has ${there})`)
  }

  optional(parameter: string, shape: Shape): Tensor | undefined {
    const reference = this.reference(parameter, shape)
    return reference && this.file.decode(this.#keys.get(parameter)!, reference)
  }

  /** The same as it lies in the file; its values are checked where they are decoded. Of float64 a copy in float32. */
  matrix(parameter: string, shape: Shape): { shape: number[]; matrix: FileMatrix } {
    const reference = this.reference(parameter, shape) ?? this.#missing(parameter)
    return { shape: reference.shape, matrix: this.file.matrix(this.#keys.get(parameter)!, reference) }
  }

  /** Takes a second copy of what the file has under `key` already, if there is one. */
  takeCopy(parameter: string, key: string): void {
    const copyKey = this.#keys.get(parameter)
    if (copyKey === undefined) return
    this.file.take(copyKey, this.file.shape(key), this.site.module)
    this.file.requireSame(copyKey, key)
  }

  /** The same, not decoded. */
  reference(parameter: string, shape: Shape): TensorRef | undefined {
    const key = this.#keys.get(parameter)
    return key === undefined ? undefined : this.file.take(key, shape, this.site.module)
  }
}

export class AdapterTensors {
  readonly file: string
  /** The whole file, once it is read. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Only the header is known (plan.ts): values are zeros, and what they say is not asked. */
  unread = false
  /** Sites that have tensors, in the order of the base's sites. */
  readonly sites: SiteTensors[]
  /** Parameters beside the modules: `vera_A`, … → key. */
  readonly shared = new Map<string, string>()
  /** Keys of modules that no site is: normalisation weights, … → checkpoint name. */
  readonly others = new Map<string, string>()
  /** The classifier's, by parameter: `weight`, `bias`. */
  readonly head = new Map<string, string>()
  /** For people: what is odd about the adapter and does not stand in its way. */
  readonly warnings: string[] = []
  readonly #references: Map<string, TensorRef>
  readonly #untaken: Set<string>

  /** By the file's header. */
  constructor(file: string, references: Map<string, TensorRef>, base: BaseWeights) {
    this.file = file
    this.#references = references
    this.#untaken = new Set(this.#references.keys())
    const bySite = new Map<Site, SiteTensors>()
    for (const key of this.#references.keys()) this.#place(key, base, bySite)
    this.sites = base.model.sites.filter((site) => bySite.has(site)).map((site) => bySite.get(site)!)
  }

  #place(key: string, base: BaseWeights, bySite: Map<Site, SiteTensors>): void {
    const path = pathOf(key)
    const parts = path.split('.')
    if (parts.length === 1 || (parts.length === 2 && /^\d+$/.test(parts[1]))) {
      this.shared.set(path, key)
      return
    }
    for (let n = parts.length - 1; n > 0; n--) {
      const site = base.site(parts.slice(0, n).join('.'))
      if (!site) continue
      let tensors = bySite.get(site)
      if (!tensors) {
        tensors = new SiteTensors(site, this)
        bySite.set(site, tensors)
      }
      tensors.add(parameterName(parts.slice(n)), key)
      return
    }
    const checkpoint = path.replace(/\.modules_to_save\./, '.')
    const ofHead = HEAD_PARAMETER.exec(checkpoint)?.[1]
    if (ofHead) {
      const earlier = this.head.get(ofHead)
      if (earlier !== undefined) throw this.invalid(`${earlier} and ${key} name the same parameter of a classifier`)
      this.head.set(ofHead, key)
      return
    }
    if (!base.model.tensors[checkpoint]) {
      const module = path.replace(PARAMETER, '')
      throw new AdapterError(
        'adapter_base_mismatch',
        `${key} adapts ${module}, which the base model ${base.model.name} (${base.model.modelType}) does not have or cannot adapt: ` +
          'this adapter is for another base model, or for a module that this server leaves as it is',
      )
    }
    this.others.set(key, checkpoint)
  }

  shape(key: string): number[] {
    return this.#references.get(key)!.shape
  }

  /** Marks a key as used and checks its shape. `where` names it in the error. */
  take(key: string, shape: Shape, where: string): TensorRef {
    const reference = this.#references.get(key)!
    this.#untaken.delete(key)
    const fits = reference.shape.length === shape.length && shape.every((size, i) => size === null || size === reference.shape[i])
    if (!fits && reference.length === 0)
      throw this.invalid(
        `${key} is empty (shape [${reference.shape.join(', ')}]); a save that does not gather parameters sharded by ZeRO-3 or FSDP leaves such tensors`,
      )
    if (!fits) {
      const expected = shape.map((size) => size ?? 'any').join(', ')
      throw new AdapterError(
        'adapter_base_mismatch',
        `${where}: ${key} has shape [${reference.shape.join(', ')}], but this base model needs [${expected}]`,
      )
    }
    return reference
  }

  /** A parameter beside the modules, decoded; undefined if absent. */
  sharedTensor(name: string, shape: Shape): Tensor | undefined {
    const key = this.shared.get(name)
    return key === undefined ? undefined : this.decode(key, this.take(key, shape, name))
  }

  /** Takes a module's own copy of a shared parameter, if there is one. */
  takeCopy(tensors: SiteTensors, name: string): void {
    tensors.takeCopy(name, this.shared.get(name)!)
  }

  /** Two keys of what PEFT makes one tensor: they must be the same, bit for bit. */
  requireSame(copyKey: string, key: string): void {
    const [copy, original] = [this.#references.get(copyKey)!, this.#references.get(key)!]
    if (Buffer.compare(this.#bytesOf(copy), this.#bytesOf(original)) !== 0)
      throw this.invalid(`${copyKey} differs from ${key}, and PEFT makes one tensor of them`)
  }

  decode(key: string, reference: TensorRef): Tensor {
    const data = this.rows(key, reference, 0, reference.shape.length ? reference.shape[0] : 1)
    return { shape: reference.shape, data }
  }

  matrix(key: string, reference: TensorRef): FileMatrix {
    const dtype = this.#floatType(key, reference)
    const asFloats = () => new Uint8Array(this.decode(key, reference).data.buffer)
    const bytes = dtype === 'float64' ? asFloats() : this.#bytesOf(reference)
    const unread = this.unread && { unread: true as const }
    return { file: this.file, key, dtype: dtype === 'float64' ? 'float32' : dtype, bytes, transposed: false, ...unread }
  }

  #bytesOf({ offset, length }: TensorRef): Uint8Array {
    return this.bytes.subarray(offset, offset + length)
  }

  #floatType(key: string, { dtype }: TensorRef): TensorType | 'float64' {
    if (['float32', 'float16', 'bfloat16', 'float64'].includes(dtype)) return dtype as TensorType | 'float64'
    throw this.invalid(`${key} has dtype ${dtype}; float32, float16, bfloat16 or float64 is expected`)
  }

  /** `count` rows (of the first dimension) of a tensor, decoded and checked to be numbers. */
  rows(key: string, reference: TensorRef, first: number, count: number): Float32Array {
    const dtype = this.#floatType(key, reference)
    const rows = reference.shape[0] ?? 1
    const elements = reference.shape.reduce((product, size) => product * size, 1)
    const values = new Float32Array(rows === 0 ? 0 : (elements / rows) * count)
    const rowBytes = rows === 0 ? 0 : reference.length / rows
    const start = reference.offset + first * rowBytes
    decodeFloats(dtype, this.bytes.subarray(start, start + count * rowBytes), values)
    if (!Number.isFinite(largestMagnitude(values))) throw this.invalid(`${key} holds NaN or infinite values`)
    return values
  }

  /** Throws if a tensor has not been used. */
  requireAllTaken(method: string): void {
    const [key] = this.#untaken
    if (key === undefined) return
    throw new AdapterError(
      'adapter_tensor_invalid',
      `${this.file}: ${key} is no tensor that a ${method} adapter with this config has; it would not be applied`,
    )
  }

  invalid(what: string): AdapterError {
    return new AdapterError('adapter_tensor_invalid', `${this.file}: ${what}`)
  }
}

/** PEFT leaves the adapter's name out; some trainers that save a state dict themselves leave `default` in. */
function pathOf(key: string): string {
  const path = key.replace(/^base_model\.(model\.)?/, '').replace(/\.default(?=\.|$)/, '')
  // Adapters of a bare model (AutoModel: FEATURE_EXTRACTION) call its modules without the name that it has inside one with a head.
  return /^(layers|embed_tokens|norm)\./.test(path) ? `model.${path}` : path
}

/** The classifiers of transformers' …ForSequenceClassification. */
const HEAD_PARAMETER = /^(?:score|classifier)\.(weight|bias)$/

/** What the key names of a module; undefined: nothing. */
export function parameterOf(key: string, module: string): string | undefined {
  const path = pathOf(key)
  return path.startsWith(`${module}.`) ? parameterName(path.slice(module.length + 1).split('.')) : undefined
}

const WRAPPERS = ['base_layer', 'modules_to_save', 'original_module', 'token_adapter', 'weight', 'bias']

/** PEFT saves the same parameter as `lora_A.weight` or, where it is no module, `lora_A`. Plain and wrapped weights keep their names. */
function parameterName(parts: string[]): string {
  const wrapped = WRAPPERS.includes(parts[0])
  return (!wrapped && parts.length > 1 && parts.at(-1) === 'weight' ? parts.slice(0, -1) : parts).join('.')
}
