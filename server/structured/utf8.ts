/**
 * What of UTF-8 XGrammar lets pass: it takes any lead byte with as many continuation bytes, so that tokens of single bytes could spell what is no character (overlong forms, half
 * surrogates, beyond U+10FFFF), which a reader sees as several. After four lead bytes not every continuation may come; no other rule looks further than a byte.
 */
/** Lead bytes, and the continuation bytes that may not follow at once. */
const CAREFUL: readonly [lead: number, from: number, to: number][] = [
  [0xe0, 0x80, 0x9f],
  [0xed, 0xa0, 0xbf],
  [0xf0, 0x80, 0x8f],
  [0xf4, 0x90, 0xbf],
]

/** Whether a token's bytes can stand in well-formed text, whatever is around them. */
export function canBeText(bytes: Uint8Array): boolean {
  return bytes.every((byte, i) => {
    if (byte === 0xc0 || byte === 0xc1 || byte > 0xf4) return false
    const rule = CAREFUL.find(([lead]) => lead === bytes[i - 1])
    return !rule || byte < rule[1] || byte > rule[2]
  })
}

/** Of one vocabulary (token i is bytes [starts[i], starts[i + 1])): which tokens may not follow which. */
export class Utf8Guard {
  /** By token: 0, or one more than the place of the lead byte that it ends with. */
  private readonly endings: Uint8Array
  /** For each lead byte, the tokens that do not begin with what may not follow: a bit each. */
  private readonly allowed: Int32Array[]

  constructor({ bytes, starts }: { bytes: Uint8Array; starts: Int32Array }) {
    const size = starts.length - 1
    this.endings = new Uint8Array(size)
    this.allowed = CAREFUL.map(() => new Int32Array(Math.ceil(size / 32)).fill(-1))
    for (let id = 0; id < size; id++) {
      if (starts[id] === starts[id + 1]) continue
      const first = bytes[starts[id]]
      const last = bytes[starts[id + 1] - 1]
      for (const [i, [lead, from, to]] of CAREFUL.entries()) {
        if (last === lead) this.endings[id] = i + 1
        if (first >= from && first <= to) this.allowed[i][id >>> 5] &= ~(1 << (id & 31))
      }
    }
  }

  /** Takes from a mask what may not follow a token; leaves it where nothing else may. */
  after(token: number | undefined, mask: Int32Array): void {
    const ending = token === undefined ? 0 : this.endings[token]
    if (!ending) return
    const allowed = this.allowed[ending - 1]
    if (allowed.some((word, i) => (word & mask[i]) !== 0)) for (let i = 0; i < allowed.length; i++) mask[i] &= allowed[i]
  }
}
