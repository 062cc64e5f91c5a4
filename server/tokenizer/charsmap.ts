/**
 * SentencePiece's precompiled character map (the normalizer Precompiled): a double-array trie over UTF-8 from what is replaced to a place in a text of replacements, each ended
 * by NUL. Read as Hugging Face's spm_precompiled reads it: of a grapheme of less than six bytes the shortest prefix that the trie has decides.
 */

const LONGEST = 6
const utf8 = new TextEncoder()

export class CharsMap {
  private readonly trie: Uint32Array
  private readonly replacements: Uint8Array
  private readonly known = new Map<string, string | undefined>()
  private readonly graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

  /** Throws when it is no such map. */
  constructor(base64: string) {
    const bytes = Buffer.from(base64, 'base64')
    const size = bytes.length >= 4 ? bytes.readUInt32LE(0) : -1
    if (size < 4 || size % 4 !== 0 || size + 4 > bytes.length)
      throw new Error('normalizer: precompiled_charsmap is no character map')
    this.trie = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i))
    this.replacements = bytes.subarray(4 + size)
  }

  normalize(text: string): string {
    let all = ''
    for (const grapheme of this.graphemesOf(text)) all += this.replaced(grapheme)
    return all
  }

  /** Characters of ASCII are graphemes, but for a carriage return before a newline. */
  private *graphemesOf(text: string): Generator<string> {
    let from = 0
    for (let at = 0; at < text.length; ) {
      const ascii = text.charCodeAt(at) < 0x80 && !(text.charCodeAt(at + 1) >= 0x80) && text[at] !== '\r'
      if (!ascii) {
        at++
        continue
      }
      if (from < at) for (const { segment } of this.graphemes.segment(text.slice(from, at))) yield segment
      yield text[at]
      from = ++at
    }
    if (from < text.length) for (const { segment } of this.graphemes.segment(text.slice(from))) yield segment
  }

  private replaced(grapheme: string): string {
    if (utf8.encode(grapheme).length < LONGEST) {
      const whole = this.lookup(grapheme)
      if (whole !== undefined) return whole
    }
    let all = ''
    for (const char of grapheme) all += this.lookup(char) ?? char
    return all
  }

  /** undefined: nothing is replaced. */
  private lookup(text: string): string | undefined {
    if (this.known.has(text)) return this.known.get(text)
    const at = this.find(utf8.encode(text))
    const end = at === undefined ? 0 : this.replacements.indexOf(0, at)
    const found = at === undefined ? undefined : Buffer.from(this.replacements.subarray(at, end < 0 ? undefined : end)).toString()
    if (this.known.size < 1 << 16) this.known.set(text, found)
    return found
  }

  private find(key: Uint8Array): number | undefined {
    const { trie } = this
    let node = offset(trie[0])
    for (const byte of key) {
      if (byte === 0) return undefined
      node ^= byte
      const unit = trie[node]
      // The label has a bit that marks a leaf: a leaf is no child.
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined
      node ^= offset(unit)
      if ((unit >>> 8) & 1) return trie[node] === undefined ? undefined : trie[node] & 0x7fffffff
    }
    return undefined
  }
}

const offset = (unit: number) => (unit >>> 10) << ((unit & (1 << 9)) >>> 6)
