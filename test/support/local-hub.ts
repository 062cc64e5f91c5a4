/** A hub on this machine: as much of the Hugging Face Hub's API as is used, with a second server where, as there, large files lie. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'

export type Files = Record<string, string | Buffer>

interface Repo {
  /** By commit. */
  commits: Map<string, Map<string, Buffer>>
  /** Branches and tags. */
  refs: Map<string, string>
  /** Given to those alone who bring the token. */
  gated: boolean
}

/** What a test does instead of sending a file: true if it has dealt with it. */
export type Misbehave = (file: string, content: Buffer, from: number, response: ServerResponse) => boolean

export interface LocalHub {
  endpoint: string
  /** Every request, in order: `hub GET /api/models/…`, with its headers. */
  requests: { line: string; headers: IncomingMessage['headers'] }[]
  /** Puts a commit on a branch and returns it. */
  commit(repo: string, files: Files, options?: { branch?: string; gated?: boolean }): string
  /** Requests for files so far. */
  fetched(): string[]
  misbehave?: Misbehave
  /** Changes what is listed. */
  relist?: (entries: Listed[]) => unknown[]
  /** Where the next page of a listing is said to be. */
  nextPage?: string
  close(): Promise<void>
}

interface Listed {
  type: string
  path: string
  size: number
  oid: string
  lfs?: { oid: string; size: number; pointerSize: number }
}

export const HUB_TOKEN = 'hf_secretOfTheTests'

const sha1 = (bytes: Buffer) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const isLarge = (file: string) => /\.(safetensors|bin)$/.test(file)

/** The files of a folder. */
export function filesOf(folder: string): Files {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name))]))
}

export async function localHub(t: { teardown(handler: () => Promise<void>): unknown }): Promise<LocalHub> {
  const repos = new Map<string, Repo>()
  const large = new Map<string, { file: string; content: Buffer }>()
  const requests: LocalHub['requests'] = []

  const send = (request: IncomingMessage, response: ServerResponse, file: string, content: Buffer) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const from = Number(range?.[1] ?? 0)
    const to = range?.[2] ? Number(range[2]) + 1 : content.length
    if (request.method === 'GET' && hub.misbehave?.(file, content, from, response)) return
    response.setHeader('content-length', to - from)
    if (range) response.writeHead(206, { 'content-range': `bytes ${from}-${to - 1}/${content.length}` })
    response.end(request.method === 'HEAD' ? undefined : content.subarray(from, to))
  }
  const refuse = (response: ServerResponse, status: number, code: string) => {
    response.writeHead(status, { 'content-type': 'application/json', 'x-error-code': code })
    response.end(JSON.stringify({ error: `${code} for ${HUB_TOKEN}` }))
  }

  const main = createServer((request, response) => {
    requests.push({ line: `hub ${request.method} ${request.url}`, headers: request.headers })
    const url = new URL(request.url as string, 'http://hub')
    const known = request.headers.authorization === `Bearer ${HUB_TOKEN}`
    const info = /^\/api\/models\/([^/]+\/[^/]+)(?:\/revision\/([^/]+))?$/.exec(url.pathname)
    const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)\/?(.*)$/.exec(url.pathname)
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname)
    const [, name, revision = 'main'] = info ?? tree ?? resolve ?? []
    const repo = repos.get(name)
    if (!repo) return refuse(response, known ? 404 : 401, 'RepoNotFound')
    const commit = repo.refs.get(decodeURIComponent(revision)) ?? decodeURIComponent(revision)
    const files = repo.commits.get(commit)
    if (!files) return refuse(response, 404, 'RevisionNotFound')
    if (info) {
      response.setHeader('content-type', 'application/json')
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }))
      response.end(
        JSON.stringify({ _id: '1', id: name, modelId: name, sha: commit, siblings, lastModified: '2026-01-01T00:00:00.000Z' }),
      )
      return
    }
    if (repo.gated && !known) return refuse(response, request.headers.authorization ? 403 : 401, 'GatedRepo')
    if (tree) return list(files, decodeURIComponent(tree[3]), url.searchParams.get('recursive') === 'true', response)
    const file = decodeURIComponent((resolve as RegExpExecArray)[3])
    const content = files.get(file)
    if (!content) return refuse(response, 404, 'EntryNotFound')
    response.setHeader('x-repo-commit', commit)
    if (!isLarge(file)) {
      response.setHeader('etag', `"${sha1(content)}"`)
      return send(request, response, file, content)
    }
    const hash = sha256(content)
    response.writeHead(302, {
      // Another host, as there.
      location: `${addressOf(store).replace('127.0.0.1', 'localhost')}/${hash}`,
      'x-linked-etag': `"${hash}"`,
      'x-linked-size': content.length,
    })
    response.end()
  })
  const store = createServer((request, response) => {
    requests.push({ line: `store ${request.method} ${request.url}`, headers: request.headers })
    const found = large.get((request.url as string).slice(1))
    if (!found) return refuse(response, 404, 'EntryNotFound')
    send(request, response, found.file, found.content)
  })

  function list(files: Map<string, Buffer>, folder: string, recursive: boolean, response: ServerResponse): void {
    const inside = folder && `${folder}/`
    const entries = new Map<string, Listed>()
    for (const [file, content] of files) {
      if (!file.startsWith(inside)) continue
      const [first, ...rest] = file.slice(inside.length).split('/')
      if (rest.length > 0 && !recursive)
        entries.set(first, { type: 'directory', path: inside + first, size: 0, oid: sha1(Buffer.from(first)) })
      else
        entries.set(file, {
          type: 'file',
          path: file,
          size: content.length,
          oid: sha1(content),
          ...(isLarge(file) && { lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } }),
        })
    }
    if (folder !== '' && entries.size === 0) {
      refuse(response, 404, 'EntryNotFound')
      return
    }
    response.setHeader('content-type', 'application/json')
    if (hub.nextPage) response.setHeader('link', `<${hub.nextPage}>; rel="next"`)
    const all = [...entries.values()]
    response.end(JSON.stringify(hub.relist ? hub.relist(all) : all))
  }

  for (const server of [main, store]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  const hub: LocalHub = {
    endpoint: addressOf(main),
    requests,
    commit(name, files, { branch = 'main', gated = false } = {}) {
      const contents = new Map(Object.entries(files).map(([file, content]) => [file, Buffer.from(content)]))
      const parts = [...contents].map(([file, content]) => `${file} ${sha256(content)}`)
      const commit = createHash('sha1')
        .update(`${name} ${parts.join('\n')}`)
        .digest('hex')
      const repo = repos.get(name) ?? { commits: new Map(), refs: new Map(), gated }
      repos.set(name, repo)
      repo.commits.set(commit, contents)
      repo.refs.set(branch, commit)
      for (const [file, content] of contents) if (isLarge(file)) large.set(sha256(content), { file, content })
      return commit
    },
    fetched: () =>
      requests.flatMap(({ line }) => {
        const found = /^hub GET \/.*\/resolve\/[^/]+\/(.*)$/.exec(line)
        return found ? [found[1]] : []
      }),
    async close() {
      for (const server of [main, store]) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
  t.teardown(() => hub.close())
  return hub
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
