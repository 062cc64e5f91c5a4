/** An adapter under a name: where it lies, and what is known of it. */
import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AdapterError, AdapterErrorCode } from './errors.ts'
import { WEIGHTS_FILE } from './folders.ts'
import { hubOfFolder } from './hub/cache.ts'
import { hubText } from './hub/name.ts'
import { identityOf } from './identity.ts'
import { hasRanks } from './ranks.ts'
import { type AdapterImage, hostBytes } from './types.ts'

/** known: nothing of its weights has been read, or they have been put out again. */
export type AdapterState = 'known' | 'loading' | 'loaded' | 'refused' | 'draining'

/** How a server came to serve a name: found in its folder of adapters, named when it was started, registered while it ran (now or before its last end), or brought from the hub by a request. */
export type Origin = 'folder' | 'command_line' | 'api' | 'request'

/** What may be otherwise the next time although the files are the same. */
const PASSING = new Set<AdapterErrorCode>([
  'adapter_not_found',
  'adapter_unreadable',
  'adapter_link_refused',
  'adapter_load_failed',
])

/** A second version of a name, which takes part of its requests. */
export interface Canary {
  readonly adapter: Adapter
  /** Part of the name's requests, between 0 and 1. */
  share: number
  /** The digest that it was set with. Which clients it gets follows from that: they are the same after a restart, and on every server. */
  readonly identity: string
  /** Requests since it is there, by the version that answered; `fallbacks` are those of `main` that were the canary's, which could not be loaded. */
  readonly requests: { main: number; canary: number; fallbacks: number }
  /** Whether it could not be loaded when it was wanted last. */
  failing: boolean
}

/** What requests of a name may take together, as it was registered; absent: what the server gives to all. Kept here, held to by whoever lets requests in. */
export interface UseLimits {
  /** In flight. */
  maxRequests?: number
  /** Of these, those that wait for their first step. */
  maxQueued?: number
  /** Prompt and output tokens. */
  tokensPerMinute?: number
}

/** Names of the formats that a name's answers are read by, as it was registered; absent: what its folder or the base says. */
export interface SaidFormats {
  tools?: string
  reasoning?: string
}

/** What a name stood for before. */
export interface Previous {
  directory: string
  root: string
  /** undefined: it was never read. */
  digest?: string
}

export class Adapter {
  readonly name: string
  /** Absolute path of the folder. */
  readonly directory: string
  /** Where its symbolic links may lead (links.ts). */
  readonly root: string
  /** undefined: nobody has said. */
  origin?: Origin
  /** Unix seconds. */
  readonly created = Math.floor(Date.now() / 1000)
  /** Known once it has been read. */
  digest?: string
  method?: string
  maxRank?: number
  /** It can be had with some of its ranks only. */
  ranked?: boolean
  /** Token ids that exist for it, if not those of the base. */
  vocabSize?: number
  warnings?: readonly string[]
  /** Packed, in host memory. */
  image?: AdapterImage
  /** Why the last load failed, without paths: clients are told it. */
  refusal?: string
  /** The same for whoever runs the server, with paths. */
  detail?: string
  /** Never put out of host memory. */
  pinned = false
  /** Of a name's own version: its limits. */
  limits?: UseLimits
  /** Likewise: its formats. */
  formats?: SaidFormats
  /** Those who use it now. */
  leases = 0
  /** Those who have used it. */
  uses = 0
  /** Milliseconds since epoch. */
  lastUse?: number
  /** Milliseconds that reading and folding took. */
  loadMs?: number
  /** Its name is another's now, or nobody's; it goes with its last lease. */
  retired = false
  /** Bytes that are kept for it in host memory while it is loaded. */
  reserved = 0
  loading?: Promise<void>
  /** Of a name's own version: the one beside it, and the one before it. */
  canary?: Canary
  previous?: Previous
  private bytes?: number
  /** The last load's failure, and the files as they were then. */
  private refused?: { error: AdapterError; files: string }

  constructor(name: string, directory: string, root: string) {
    this.name = name
    this.directory = resolve(directory)
    this.root = resolve(root)
  }

  /** Where on the hub it came from: `org/name[/folder]@commit`. */
  get hub(): string | undefined {
    const hub = hubOfFolder(this.directory)
    return hub && hubText(hub.name)
  }

  get state(): AdapterState {
    if (this.retired) return 'draining'
    if (this.image) return 'loaded'
    if (this.loading) return 'loading'
    return this.refusal === undefined ? 'known' : 'refused'
  }

  /** Bytes that it will take in host memory, as far as can be told: those that it took, or those of its file. */
  get expectedBytes(): number {
    return this.bytes ?? statOf(join(this.directory, WEIGHTS_FILE))?.size ?? 0
  }

  /** Bytes that it will take at least: float32 files are packed to half of that where rows are of 16 bits. */
  get leastBytes(): number {
    return this.bytes ?? this.expectedBytes / 2
  }

  loaded(image: AdapterImage, milliseconds: number): void {
    this.image = image
    this.bytes = hostBytes(image)
    this.digest = image.digest
    this.method = image.method
    this.maxRank = image.maxRank
    this.ranked = hasRanks(image)
    this.vocabSize = image.vocabSize
    this.warnings = image.warnings
    this.loadMs = milliseconds
    this.refusal = undefined
    this.detail = undefined
    this.refused = undefined
  }

  refuse(error: AdapterError): void {
    this.refusal = error.message
    this.detail = error.detail
    this.refused = PASSING.has(error.code) ? undefined : { error, files: identityOf(this.directory) }
  }

  /** Why it was refused, if its files are what they were then: reading them again would end alike. */
  get stillRefused(): AdapterError | undefined {
    if (!this.refused) return undefined
    return this.refused.files === identityOf(this.directory) ? this.refused.error : undefined
  }
}

function statOf(file: string) {
  try {
    return statSync(file)
  } catch {
    return undefined
  }
}
