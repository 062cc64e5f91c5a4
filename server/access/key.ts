/** A key: who brings it, and what it may do. */
import { createHash } from 'node:crypto'

/** One line of a key file, and what a key of the command line comes to. */
export interface KeyEntry {
  /** Of the key's text, in hexadecimal. */
  sha256: string
  /** Whose it is: apart from the others in the prefix cache and in limits. */
  tenant: string
  /** Patterns of adapter names, `*` standing for any text; what matches none does not exist for the key. Absent: all adapters. */
  adapters?: string[]
  /** At a time; absent: what the server allows. */
  maxRequests?: number
  maxSequences?: number
  /** Prompt and output tokens together; absent: no limit. */
  tokensPerMinute?: number
  /** Of its requests in flight those that wait for their first step; absent: all may. */
  maxQueued?: number
  /** Sees what operators see, and may do what they do. */
  admin: boolean
}

/** Whose keys are that name nobody. */
export const DEFAULT_TENANT = 'default'

/** What can be written before a key's `=`, and beside it in logs. */
export const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')

/**
 * `[TENANT=]KEY`. What stands before the first `=` is a tenant only if it looks like one and more than `=` follows: keys in base64 end so. A key that names no tenant may do
 * everything, as the one key of a server does.
 */
export function parseKey(text: string): KeyEntry {
  const at = text.indexOf('=')
  const named = at > 0 && TENANT.test(text.slice(0, at)) && /[^=]/.test(text.slice(at))
  if (!named) return { sha256: sha256(text), tenant: DEFAULT_TENANT, admin: true }
  return { sha256: sha256(text.slice(at + 1)), tenant: text.slice(0, at), admin: false }
}
