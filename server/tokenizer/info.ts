/** What clients ask for that tokenize by this server (vLLM's /tokenizer_info; lm-eval's remote tokenizer): tokenizer_config.json, special tokens as texts, and the chat template. */
import path from 'node:path'
import type { Json } from './definition.ts'
import { readJsonFile, tokenText } from './tokenizer.ts'

/** `template`: the one that is in use; undefined: none. */
export function tokenizerInfo(directory: string, template: string | undefined): Json {
  const config = readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {}
  const tokens = Object.entries(config).flatMap(([name, value]) =>
    name.endsWith('_token') && typeof value === 'object' ? [[name, tokenText(value) ?? null]] : [],
  )
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...config,
    ...Object.fromEntries(tokens),
    chat_template: template ?? null,
  }
}
