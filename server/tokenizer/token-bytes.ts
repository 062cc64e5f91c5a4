/** The bytes that one token stands for, by the tokenizer's way of spelling bytes. */

/** (id, the vocabulary's spelling) → bytes. */
export type TokenBytes = (id: number, spelling: string) => number[]

const utf8 = new TextEncoder()

/** GPT-2's byte alphabet: printable Latin-1 characters stand for themselves, the other bytes for characters from U+0100 on. */
function byteAlphabet(): Map<string, number> {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255)
  const alphabet = new Map<string, number>()
  let next = 256
  for (let b = 0; b < 256; b++) alphabet.set(String.fromCharCode(printable(b) ? b : next++), b)
  return alphabet
}

function hasDecoder(decoder: unknown, type: string): boolean {
  const { type: own, decoders } = (decoder ?? {}) as { type?: string; decoders?: unknown[] }
  return own === type || (decoders ?? []).some((inner) => hasDecoder(inner, type))
}

/** `isAdded`: added tokens are spelled as they read. */
export function tokenBytesOf(decoder: unknown, isAdded: (id: number) => boolean): TokenBytes {
  if (hasDecoder(decoder, 'ByteLevel')) {
    const alphabet = byteAlphabet()
    return (id, spelling) => {
      const bytes = isAdded(id) ? undefined : [...spelling].map((char) => alphabet.get(char))
      return bytes?.every((byte) => byte !== undefined) ? (bytes as number[]) : [...utf8.encode(spelling)]
    }
  }
  return (id, spelling) => {
    const fallback = /^<0x([0-9A-Fa-f]{2})>$/.exec(spelling)
    if (fallback) return [Number.parseInt(fallback[1], 16)]
    return [...utf8.encode(isAdded(id) ? spelling : spelling.replaceAll('▁', ' '))]
  }
}
