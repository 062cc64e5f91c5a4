/**
 * Tokenizers of every style over random texts and random ids: byte-level ones give back what they got, pieces concatenate to the whole however they come, and no
 * text is too odd.
 */
import { STYLES, tokenizerOf } from '../server/tokenizer/vectors.ts'
import { oddText } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

const tokenizers = STYLES.map((style) => ({ style, tokenizer: tokenizerOf(style) }))
/** No byte is lost in these, and nothing is added. */
const EXACT = ['gpt2', 'qwen2', 'llama3', 'starcoder', 'olmo2', 'demo']
const LONE_SURROGATE = /\p{Surrogate}/u
const WORDS = [
  'the',
  ' fox',
  "Don't",
  '  ',
  '\n\n',
  '12345',
  '½',
  '²',
  'ﬁ',
  '你好',
  'عربي',
  '<|im_end|>',
  '</s>',
  '<s>',
  '▁',
  'Ġ',
  '<0x41>',
  '\u00a0',
  '\u200d',
]

function textOf(random: Random): string {
  return Array.from({ length: random.below(12) }, () =>
    random.below(3) ? random.pick(WORDS) : oddText(random).slice(0, 300),
  ).join('')
}

function attempt(random: Random): string {
  const { style, tokenizer } = random.pick(tokenizers)
  const skipSpecialTokens = random.below(2) === 1
  const fault = (what: string, details: unknown) => new Fault(`${style}: ${what}: ${JSON.stringify(details)}`)
  let ids: number[]
  const fromText = random.below(2) === 1
  if (fromText) {
    const text = textOf(random)
    ids = tokenizer.encode(text, { addSpecialTokens: random.below(2) === 1 })
    if (ids.some((id) => !Number.isInteger(id) || id < 0)) throw fault('not an id', { text, ids })
    const plain = tokenizer.encode(text, { addSpecialTokens: false })
    const back = tokenizer.decode(plain, { skipSpecialTokens: false })
    // A lone surrogate is no character: it comes back as U+FFFD. Qwen's normalizer composes characters.
    const wanted = Buffer.from(style === 'qwen2' ? text.normalize('NFC') : text).toString()
    if (EXACT.includes(style) && back !== wanted) throw fault('decode(encode(text)) is another text', { text, back })
    if (text.length > 0 && plain.length * tokenizer.longestToken < text.length)
      throw fault('fewer tokens than the longest token allows', { text, tokens: plain.length, longest: tokenizer.longestToken })
  } else ids = Array.from({ length: random.below(40) }, () => random.below(random.below(4) ? 1000 : 300_000))

  const whole = tokenizer.decode(ids, { skipSpecialTokens })
  const detokenizer = tokenizer.detokenizer({ skipSpecialTokens })
  let pieces = ''
  for (let at = 0; at < ids.length; ) {
    const taken = 1 + random.below(4)
    const piece = detokenizer.push(ids.slice(at, at + taken))
    if (LONE_SURROGATE.test(piece)) throw fault('a piece ends inside a character', { ids, piece })
    pieces += piece
    at += taken
  }
  pieces += detokenizer.flush()
  if (pieces !== whole) throw fault('the pieces are another text', { ids, pieces, whole })
  for (const id of ids.slice(0, 3)) {
    const { text, bytes } = tokenizer.token(id)
    if (Buffer.from(bytes).toString() !== text) throw fault("a token's text is not its bytes'", { id, text, bytes })
    tokenizer.tokenString(id)
  }
  return fromText ? 'of a text' : 'of ids'
}

await run({ name: 'tokenizers', attempt, expected: ['of a text', 'of ids'], patience: 2000 })
