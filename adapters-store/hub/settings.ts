/** What the environment says of the hub, in the variables of huggingface_hub. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export interface HubSettings {
  /** Without a slash at its end. */
  endpoint: string
  token?: string
  /** Nothing is asked of the hub; what is in the cache is served. */
  offline: boolean
  /** The folder of `models--org--name`. */
  cache: string
}

const HUB = 'https://huggingface.co'

export function hubSettings(environment: Record<string, string | undefined>): HubSettings {
  // As there, an empty variable is none.
  const get = (...names: string[]) => names.map((name) => environment[name]?.trim()).find((value) => value)
  const home = get('HF_HOME') ?? join(get('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface')
  return {
    endpoint: (get('HF_ENDPOINT') ?? HUB).replace(/\/+$/, ''),
    token: get('HF_TOKEN') ?? tokenIn(get('HF_TOKEN_PATH') ?? join(home, 'token')),
    offline: /^(1|on|yes|true)$/i.test(get('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE') ?? ''),
    cache: resolve(get('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub')),
  }
}

/** What `hf auth login` wrote. */
function tokenIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
