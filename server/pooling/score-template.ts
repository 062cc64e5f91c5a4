/** Pairs of texts as a reranker's template renders them: vLLM's score templates, which get a message of the role `query` and one of the role `document`. */
import { setImmediate } from 'node:timers/promises'
import { asObject, exactField } from '../exact-json.ts'
import type { Body } from '../openai/parameters.ts'
import type { Conversation, PromptReader, Serving } from '../types.ts'
import { checked, cutIds, type Reading } from './prompts.ts'
import type { PooledPrompt } from './run.ts'

/** Pairs that are rendered before others are served: a millisecond or two. */
const AT_A_TIME = 8

export interface Pair {
  query: string
  document: string
  /** Where the document stands in the body. */
  field: string
}

/** Variables that the request gives the template: vLLM's `instruction` is one of chat_template_kwargs by a name of its own. */
export function variablesOf(body: Body): Record<string, unknown> {
  const kwargs = asObject(exactField(body, 'chat_template_kwargs') ?? {})
  return typeof body.instruction === 'string' ? { instruction: body.instruction, ...kwargs } : kwargs
}

/** Each pair as a prompt. Special tokens come as around any text (vLLM's rule). Rejects with TemplateError, and with ApiError that names the field. */
export async function templatedPairs(
  serving: Serving,
  pairs: readonly Pair[],
  kwargs: Record<string, unknown>,
  reading: Reading,
  left: AbortSignal,
): Promise<PooledPrompt[]> {
  const prompts: PooledPrompt[] = []
  for (const [i, { query, document, field }] of pairs.entries()) {
    if (i % AT_A_TIME === AT_A_TIME - 1) await setImmediate()
    const messages = [
      { role: 'query', content: query },
      { role: 'document', content: document },
    ]
    const conversation: Conversation = { messages, options: { addGenerationPrompt: false, kwargs } }
    const ids = await serving.prompts.encodeConversation(conversation, { addSpecialTokens: true, param: field }, left)
    prompts.push(checked(cutIds(ids, reading), field, serving))
  }
  return prompts
}

/** The texts' first `most` tokens each, as texts again: a template takes no ids. */
export async function cutTexts(
  { prompts, tokenizer }: { prompts: PromptReader; tokenizer: Serving['tokenizer'] },
  texts: readonly string[],
  most: number | undefined,
  paramOf: (index: number) => string,
  left: AbortSignal,
): Promise<readonly string[]> {
  if (most === undefined) return texts
  const all = await prompts.encode(texts, { addSpecialTokens: false, param: 'input', paramOf }, left)
  return texts.map((text, i) => {
    const ids = all[i]
    return ids.length <= most ? text : tokenizer.decode(ids.slice(0, most), { skipSpecialTokens: false })
  })
}
