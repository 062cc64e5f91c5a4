/** Readers of prompts as the server makes them. Their processes start when they are needed, and keep nobody awake. */
import { ModelChatTemplate } from '../../server/tokenizer/chat-template.ts'
import { ModelPromptReader } from '../../server/tokenizer/prompt-reader.ts'
import { ModelTokenizer } from '../../server/tokenizer/tokenizer.ts'
import { demoModel } from './repo.ts'

/** `template`: instead of the folder's own. */
export function promptsOf(
  folder: string,
  template = ModelChatTemplate.load(folder),
  { maxModelLen = 1 << 20, processes = 1 } = {},
): ModelPromptReader {
  return new ModelPromptReader(folder, ModelTokenizer.load(folder), template, { maxModelLen, processes })
}

export const demoPrompts = (maxModelLen = 1 << 20) => promptsOf(demoModel('base'), undefined, { maxModelLen })
