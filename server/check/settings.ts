/** Flags of `lorikeet check` beside those of `lorikeet serve`. */
import type { Setting } from '../config/setting.ts'

export const CHECK_SETTINGS = {
  json: { kind: 'flag', fallback: false, help: 'print all that is found as JSON' },
  values: {
    kind: 'flag',
    fallback: false,
    help: "read the adapters' values too, as loading does; else only configs and headers, unless a file holds whole modules",
  },
} as const satisfies Record<string, Setting>
