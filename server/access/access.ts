/** What a server asks of those who come to it, from its configuration. */
import { timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../config/settings.ts'
import { ConfigError } from '../config/values.ts'
import { ApiError } from '../errors.ts'
import { anyone, type Caller } from './caller.ts'
import { hostCheck, isLoopback } from './hosts.ts'
import { parseKey, sha256 } from './key.ts'
import { KeyRing } from './key-ring.ts'
import { Quota } from './quota.ts'

export type AccessSettings = Pick<
  Config,
  | 'host'
  | 'apiKey'
  | 'apiKeyFile'
  | 'metricsKey'
  | 'corsOrigin'
  | 'allowedHosts'
  | 'rateLimit'
  | 'maxConnectionsPerAddress'
  | 'prefixCacheScope'
>

/** Who brings no key where keys are asked for: they see what is open to everybody. */
const STRANGER: Caller = {
  admin: false,
  quota: new Quota({}),
  maySee: () => false,
  seen: () => ({ get: () => undefined, list: () => [] }),
}

export class Access {
  /** Absent: nobody needs a key. */
  readonly keys: KeyRing | undefined
  /** Whether a request may call the server by this Host; absent: by any. */
  readonly knowsHost: ((host: string | undefined) => boolean) | undefined
  readonly corsOrigins: readonly string[]
  /** Requests a minute. */
  readonly rateLimit: number | undefined
  readonly maxConnectionsPerAddress: number | undefined
  private readonly everybody = anyone()
  private readonly settings: AccessSettings
  private readonly log: Pick<Logger, 'info' | 'error'>
  private readonly metricsKey: string | undefined
  private readonly shared: boolean

  /** Throws ConfigError. */
  constructor(settings: AccessSettings, log: Pick<Logger, 'info' | 'error'>) {
    const { apiKey, apiKeyFile, metricsKey, host } = settings
    this.settings = settings
    this.log = log
    const guarded = apiKey !== undefined || apiKeyFile !== undefined
    this.keys = guarded ? new KeyRing((apiKey ?? []).map(parseKey), apiKeyFile, log) : undefined
    this.knowsHost = !guarded && isLoopback(host) ? hostCheck(host, settings.allowedHosts ?? []) : undefined
    this.corsOrigins = (settings.corsOrigin ?? []).map(originOf)
    for (const name of settings.allowedHosts ?? [])
      if (!/^([\w.-]+|\[[\da-f:]+\])$/i.test(name))
        throw new ConfigError(`--allowed-hosts must be a name without scheme and port, not ${name}`)
    this.rateLimit = settings.rateLimit
    this.maxConnectionsPerAddress = settings.maxConnectionsPerAddress
    this.metricsKey = metricsKey === undefined ? undefined : sha256(metricsKey)
    this.shared = settings.prefixCacheScope === 'all'
  }

  callerOf({ headers }: Pick<FastifyRequest, 'headers'>): Caller {
    const { keys } = this
    if (!keys) return this.everybody
    const key = keyIn(headers)
    return (key !== undefined && keys.holder(key)) || STRANGER
  }

  isStranger(caller: Caller): boolean {
    return caller === STRANGER
  }

  /** Among whose prompts a caller's may be found again; undefined: among those of all who have none. */
  cacheTenant({ tenant }: Caller): string | undefined {
    return this.shared ? undefined : tenant
  }

  /** Whether a key of its own guards the metrics page. */
  get guardsMetrics(): boolean {
    return this.metricsKey !== undefined
  }

  /** Whether the metrics page names adapters to who asks for it. Throws ApiError where a key of its own guards the page and it is not brought. */
  seesNames({ headers, caller }: Pick<FastifyRequest, 'headers' | 'caller'>): boolean {
    if (this.metricsKey === undefined || (this.keys && caller.admin)) return caller.admin
    const key = keyIn(headers)
    if (key !== undefined && timingSafeEqual(Buffer.from(sha256(key)), Buffer.from(this.metricsKey))) return true
    throw new ApiError('invalid_api_key', 'the metrics are shown with the key of --metrics-key, as `Authorization: Bearer KEY`')
  }

  /** Of a port that only operators reach, listening on `host`: it asks for no key but the metrics' own. */
  ofOperators(host: string): Access {
    const { metricsKey, allowedHosts, prefixCacheScope } = this.settings
    return new Access({ host, metricsKey, allowedHosts, prefixCacheScope }, this.log)
  }

  close(): void {
    this.keys?.close()
  }
}

/** As browsers send it. */
function originOf(text: string): string {
  if (text === '*') return text
  const origin = URL.canParse(text) ? new URL(text).origin : 'null'
  if (origin === 'null' || ![origin, `${origin}/`].includes(text.toLowerCase()))
    throw new ConfigError(`--cors-origin must be an origin like https://app.example or http://localhost:3000, or *, not ${text}`)
  return origin
}

/** As OpenAI's clients send it, or as x-api-key. */
function keyIn(headers: FastifyRequest['headers']): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  if (bearer !== undefined) return bearer
  const plain = headers['x-api-key']
  return typeof plain === 'string' ? plain : undefined
}
