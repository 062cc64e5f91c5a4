/** Settings that say what is told of requests. */
import type { Setting } from './setting.ts'

export const SEEING_SETTINGS = {
  'enable-log-requests': {
    kind: 'flag',
    fallback: false,
    help: "log each request when it is over whatever the log level is; with log level debug its prompt's beginning too",
  },
  'enable-log-outputs': {
    kind: 'flag',
    fallback: false,
    help: 'with enable-log-requests: the beginning of each answer too',
  },
  'otlp-traces-endpoint': {
    kind: 'text',
    value: 'URL',
    help: "a collector's whole URL, to which a trace of each request is sent (OTLP over HTTP): http://localhost:4318/v1/traces",
  },
  'max-log-len': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 65_536,
    fallback: 1024,
    help: 'characters of a prompt, and of an answer, that the log may hold',
  },
} as const satisfies Record<string, Setting>
