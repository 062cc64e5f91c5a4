/** Files of a folder that say how text becomes tokens, as transformers' save_pretrained names them. */

export const TOKENIZER = 'tokenizer.json'
export const TOKENIZER_CONFIG = 'tokenizer_config.json'
export const SPECIAL_TOKENS = 'special_tokens_map.json'
export const CHAT_TEMPLATE = 'chat_template.jinja'
export const GENERATION_CONFIG = 'generation_config.json'
/** Of tokenizers without a tokenizer.json: beside one they say nothing more. */
export const SLOW = ['added_tokens.json', 'tokenizer.model', 'spiece.model', 'vocab.json', 'merges.txt', 'vocab.txt'] as const

export const TEXT_FILES: readonly string[] = [
  TOKENIZER,
  TOKENIZER_CONFIG,
  SPECIAL_TOKENS,
  CHAT_TEMPLATE,
  GENERATION_CONFIG,
  ...SLOW,
]

/** The largest that we know has 33 MB (Gemma 3). */
const TOKENIZER_LIMIT = 48 << 20
const TEMPLATE_LIMIT = 256 << 10
const LIMIT = 8 << 20

/** Bytes that are read at most. */
export function limitOf(name: string): number {
  if (name === CHAT_TEMPLATE) return TEMPLATE_LIMIT
  return name === TOKENIZER || (SLOW as readonly string[]).includes(name) ? TOKENIZER_LIMIT : LIMIT
}
