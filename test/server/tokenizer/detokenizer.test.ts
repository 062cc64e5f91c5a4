import t from 'tap'
import { random } from './random.ts'
import { STYLES, tokenizerOf, VECTORS } from './vectors.ts'

/** A string that was cut inside a character holds half of a surrogate pair, or U+FFFD where the whole has none. */
const loneSurrogate = /\p{Surrogate}/u

for (const style of STYLES) {
  const tokenizer = tokenizerOf(style)
  const { encoded, decoded } = VECTORS[style]
  const sequences = [...encoded.map(({ special }) => special), ...decoded.map(({ ids }) => ids)]

  t.test(`${style}: however the tokens come, the pieces are the text`, async (t) => {
    const draw = random(1)
    for (const ids of sequences)
      for (const skipSpecialTokens of [false, true]) {
        const whole = tokenizer.decode(ids, { skipSpecialTokens })
        for (const most of [1, 2, 5]) {
          const detokenizer = tokenizer.detokenizer({ skipSpecialTokens })
          const pieces: string[] = []
          for (let at = 0; at < ids.length; ) {
            const taken = 1 + draw(most)
            pieces.push(detokenizer.push(ids.slice(at, at + taken)))
            at += taken
          }
          pieces.push(detokenizer.flush())
          if (pieces.join('') !== whole) t.equal(pieces.join(''), whole, JSON.stringify(ids))
          const cut = pieces.find((piece) => loneSurrogate.test(piece) || (piece.includes('\ufffd') && !whole.includes('\ufffd')))
          if (cut !== undefined) t.fail(`${JSON.stringify(cut)} of ${JSON.stringify(whole)}`)
        }
      }
    t.pass(`${sequences.length} sequences`)
  })
}

t.test('a character is given out with its last byte, not later', async (t) => {
  const tokenizer = tokenizerOf('gpt2')
  const detokenizer = tokenizer.detokenizer({ skipSpecialTokens: true })
  const ids = tokenizer.encode('a𝔘b', { addSpecialTokens: false })
  t.same(
    ids.map((id) => detokenizer.push([id])),
    ['a', '', '', '', '𝔘', 'b'],
  )
})

t.test('an unfinished character at the end becomes U+FFFD', async (t) => {
  const tokenizer = tokenizerOf('gpt2')
  const detokenizer = tokenizer.detokenizer({ skipSpecialTokens: true })
  const ids = tokenizer.encode('a𝔘', { addSpecialTokens: false }).slice(0, -1)
  t.equal(detokenizer.push(ids), 'a')
  t.equal(detokenizer.flush(), '\ufffd')
})

t.test('tokens that go on with a text keep the space at their beginning', async (t) => {
  const tokenizer = tokenizerOf('llama2')
  const text = 'a b c'
  const ids = tokenizer.encode(text, { addSpecialTokens: false })
  for (let at = 1; at < ids.length; at++) {
    const end = tokenizer.detokenizer({ skipSpecialTokens: true, continues: true })
    const pieces = [tokenizer.decode(ids.slice(0, at), { skipSpecialTokens: true }), end.push(ids.slice(at)), end.flush()]
    t.equal(pieces.join(''), text)
  }
})

t.test('the space that SentencePiece adds is left out once, at the beginning only', async (t) => {
  const tokenizer = tokenizerOf('llama2')
  const detokenizer = tokenizer.detokenizer({ skipSpecialTokens: true })
  const ids = tokenizer.encode(' a b', { addSpecialTokens: true })
  t.equal(ids.map((id) => detokenizer.push([id])).join(''), ' a b')
})
