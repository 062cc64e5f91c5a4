/** Settings that say who may do what, and from where. */
import type { Setting } from './setting.ts'

export const ACCESS_SETTINGS = {
  'api-key': {
    kind: 'texts',
    value: '[TENANT=]KEY',
    secret: true,
    help: 'a key that requests must bring as bearer or x-api-key; may be repeated',
  },
  'api-key-file': {
    kind: 'text',
    value: 'FILE',
    help: "keys' hashes with what each may do, one a line, made by `lorikeet key`; read again when it changes",
  },
  'metrics-key': {
    kind: 'text',
    value: 'KEY',
    secret: true,
    help: 'a key that /metrics must be asked with',
  },
  'admin-port': {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 65535,
    help: 'port of its own for /metrics, /docs and management, which the other one then does not have',
  },
  'admin-host': { kind: 'text', value: 'HOST', help: 'address that the admin port listens on; host if absent' },
  ui: { kind: 'flag', fallback: true, help: 'a page at /ui for operators, beside /docs and /metrics' },
  'cors-origin': {
    kind: 'texts',
    value: 'ORIGIN',
    vllm: 'allowed-origins',
    help: 'an origin whose pages may call the server, or *; may be repeated',
  },
  'allowed-hosts': {
    kind: 'texts',
    value: 'NAME',
    help: 'a name that Host may hold beside localhost, where the server listens on loopback without keys; may be repeated',
  },
  'rate-limit': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'requests a minute of a key, or of an address without one; more are told to come again (429)',
  },
  'tenant-max-requests': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: "requests in flight of one tenant, the key's or the tenant-header's; more are told to come again (429)",
  },
  'tenant-max-queued': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'of these, requests that wait for their first step; 429 likewise',
  },
  'tenant-tokens-per-minute': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'prompt and output tokens of one tenant; 429 likewise',
  },
  'max-connections-per-address': { kind: 'integer', value: 'N', minimum: 1, help: 'connections that one address may have open' },
  'ssl-certfile': { kind: 'text', value: 'FILE', help: 'certificate chain (PEM); the server speaks HTTPS then' },
  'ssl-keyfile': { kind: 'text', value: 'FILE', help: "the certificate's private key (PEM)" },
} as const satisfies Record<string, Setting>
