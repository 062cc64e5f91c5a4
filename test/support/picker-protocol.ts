/**
 * What llm-d's endpoint picker reads off a model server and off its answers, written from its protocol: metrics of one page, the scores that follow from them, and what it does to bodies on their way back.
 */

/** What it knows of an endpoint. */
export interface Scraped {
  waiting: number
  running: number
  /** 0 to 1. */
  kvUse: number
  blockSize: number
  blocks: number
  /** Adapters that the endpoint says it can hold, has, and has requests waiting for. */
  mostAdapters: number
  active: ReadonlySet<string>
  awaited: ReadonlySet<string>
}

interface Series {
  labels: Record<string, string>
  value: number
}

/** All series of Prometheus' text format, by name. */
export function seriesOf(page: string): Map<string, Series[]> {
  const families = new Map<string, Series[]>()
  for (const line of page.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/.exec(line)
    if (!found) throw new Error(`no line of Prometheus' format: ${line}`)
    const [, name, inside = '', value] = found
    const labels: Record<string, string> = {}
    for (const [, label, text] of inside.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[label] = text.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one))
    const family = families.get(name)
    if (family) family.push({ labels, value: Number(value) })
    else families.set(name, [{ labels, value: Number(value) }])
  }
  return families
}

/** By the names that it looks for in a server of vLLM's kind. Throws where one is missing. */
export function scrapedFrom(page: string): Scraped {
  const families = seriesOf(page)
  const all = (name: string): Series[] => {
    const family = families.get(name)
    if (!family || family.length === 0) throw new Error(`the page has no ${name}`)
    return family
  }
  const gauge = (name: string) => all(name)[0].value
  const whole = (text: string): number => {
    if (!/^[+-]?\d+$/.test(text)) throw new Error(`${text} is no integer`)
    return Number(text)
  }
  const cache = all('vllm:cache_config_info')[0].labels
  // Of these every change is a series of its own: its value says when it began.
  const lora = all('vllm:lora_requests_info').reduce((newest, one) => (one.value > newest.value ? one : newest)).labels
  const names = (list: string) =>
    new Set(
      list
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    )
  return {
    waiting: Math.trunc(gauge('vllm:num_requests_waiting')),
    running: Math.trunc(gauge('vllm:num_requests_running')),
    kvUse: gauge('vllm:kv_cache_usage_perc'),
    blockSize: whole(cache.block_size),
    blocks: whole(cache.num_gpu_blocks),
    mostAdapters: whole(lora.max_lora),
    active: names(lora.running_lora_adapters),
    awaited: names(lora.waiting_lora_adapters),
  }
}

/** 1: it has the adapter; less, the less it could take it. */
export function loraScore({ active, awaited, mostAdapters }: Scraped, model: string): number {
  if (active.has(model)) return 1
  if (active.size + awaited.size < mostAdapters) return 0.8
  return awaited.has(model) ? 0.6 : 0
}

/** 1 for the shortest queue of all, 0 for the longest. */
export function queueScore(one: Scraped, all: readonly Scraped[]): number {
  const queues = all.map(({ waiting }) => waiting)
  const [least, most] = [Math.min(...queues), Math.max(...queues)]
  return least === most ? 1 : (most - one.waiting) / (most - least)
}

/** Part of a prompt's blocks, from its beginning on, that lie in the endpoint's cache. */
export function prefixScore(hashes: readonly string[], cached: ReadonlySet<string>): number {
  return hashes.length === 0 ? 0 : cachedFromBeginning(hashes, cached) / hashes.length
}

export function cachedFromBeginning(hashes: readonly string[], cached: ReadonlySet<string>): number {
  const first = hashes.findIndex((hash) => !cached.has(hash))
  return first < 0 ? hashes.length : first
}

/** Puts the name that the client used where the server's stands, in bytes: nothing is parsed. */
export function namedBack(body: string, target: string, incoming: string): string {
  const compact = body.replaceAll(`"model":"${target}"`, `"model":"${incoming}"`)
  return compact !== body ? compact : body.replaceAll(`"model": "${target}"`, `"model": "${incoming}"`)
}

export interface SeenUsage {
  /** Or `input_tokens` and `output_tokens`, of responses. */
  prompt_tokens?: number
  completion_tokens?: number
  input_tokens?: number
  output_tokens?: number
  total_tokens: number
  prompt_tokens_details?: { cached_tokens: number }
}

/** Of a JSON body, or of the first line with some that begins exactly `data: ` where the content type says that it is a stream; there a response's is in the event that completes it. */
export function usageIn(body: string, contentType: string): SeenUsage | undefined {
  const of = (json: string): SeenUsage | undefined => {
    try {
      const { usage, type, response } = JSON.parse(json) as { usage?: SeenUsage; type?: string; response?: { usage?: SeenUsage } }
      return usage ?? (type === 'response.completed' ? response?.usage : undefined) ?? undefined
    } catch {
      return undefined
    }
  }
  if (!contentType.toLowerCase().includes('text/event-stream')) return of(body)
  for (const line of body.split('\n')) {
    const usage = line.startsWith('data: ') && line !== 'data: [DONE]' ? of(line.slice('data: '.length)) : undefined
    if (usage) return usage
  }
  return undefined
}
