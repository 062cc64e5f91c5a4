/** No mask lets tokens of single bytes spell what is no character: every text that a constraint allows is well-formed UTF-8. */
import t from 'tap'
import { Compiler } from '../../../server/structured/compiler.ts'
import { canBeText } from '../../../server/structured/utf8.ts'
import { ofBytes } from '../../support/matching.ts'

t.test('token by token, whatever is chosen', async (t) => {
  const vocabulary = ofBytes()
  const compiler = new Compiler()
  compiler.learn(vocabulary)
  const guard = compiler.guard(vocabulary.id)
  const compiled = await compiler.compile(vocabulary.id, { ebnf: String.raw`root ::= [^\u0000-\u007f]{3}` })
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const seen = new Set<number>()
  for (let trial = 0; trial < 2000; trial++) {
    const matcher = await compiler.matcher(compiled)
    const bytes: number[] = []
    let last: number | undefined
    for (let step = 0; !matcher.isTerminated(); step++) {
      const mask = await matcher.getNextTokenBitmask()
      guard.after(last, mask)
      const allowed = Array.from({ length: 257 }, (_, id) => id).filter((id) => (mask[id >>> 5] >>> (id & 31)) & 1)
      last = allowed[(trial * 7919 + step * 104729) % allowed.length]
      if (!matcher.acceptToken(last)) throw new Error(`token ${last} is allowed and not taken`)
      if (last > 0) bytes.push(last - 1)
    }
    matcher.dispose()
    for (const byte of bytes) seen.add(byte)
    t.doesNotThrow(() => utf8.decode(Uint8Array.from(bytes)), bytes.map((byte) => byte.toString(16)).join(' '))
  }
  t.ok(seen.has(0xe0) && seen.has(0xed) && seen.has(0xf0) && seen.has(0xf4), 'the careful ones were among them')
})

t.test('tokens that can stand in no text', async (t) => {
  for (const bytes of [[0xc0], [0xff, 0x41], [0xe0, 0x80], [0xed, 0xa0, 0x80], [0x41, 0xf4, 0x90]])
    t.notOk(canBeText(Uint8Array.from(bytes)))
  for (const bytes of [[0xe0], [0xed, 0x9f], [0xf0, 0x90], [0x80, 0xbf], [0x41, 0xc3]]) t.ok(canBeText(Uint8Array.from(bytes)))
})
