/** A request's view of what is served: where its adapters have a tokenizer, a chat template or ends of sequences of their own, those take the place of the base's. */
import type { AdapterText } from '../adapters-store/index.ts'
import type { AdapterRecord, Lease } from './catalogue.ts'
import { ApiError } from './errors.ts'
import type { MessageFormats } from './openai/message/formats.ts'
import { formatsOf } from './openai/message/from-template.ts'
import type { Serving } from './types.ts'

/** Throws ApiError when a mix has no text in common. */
export function servedBy(serving: Serving, records: readonly AdapterRecord[], { texts, vocabSizes }: Lease): Serving {
  const [text] = texts
  const other = texts.findIndex((one) => one?.digest !== text?.digest)
  if (other > 0) throw differ(records[0].name, text, records[other].name, texts[other])
  const vocabSize = Math.min(...vocabSizes.map((size) => size ?? serving.vocabSize))
  const said = formatsIn(serving, records)
  if (!text) return vocabSize === serving.vocabSize && !said ? serving : withFormats({ ...serving, vocabSize }, said)
  const endTokenIds = [...new Set([...serving.endTokenIds, ...text.endTokenIds])]
  return withFormats({ ...serving, ...serving.texts.of(text), vocabSize, endTokenIds }, said)
}

/** What the names were registered with, where all of a mix say the same. */
function formatsIn({ adapters }: Serving, records: readonly AdapterRecord[]): MessageFormats | undefined {
  const [first, ...others] = records.map(({ name }) => adapters.get(name)?.formats)
  const same = others.every((other) => other?.tools === first?.tools && other?.reasoning === first?.reasoning)
  return same ? (first as MessageFormats | undefined) : undefined
}

function withFormats(serving: Serving, said: MessageFormats | undefined): Serving {
  return said ? { ...serving, formats: formatsOf({ ...serving.formats, ...said }, undefined) } : serving
}

function differ(name: string, text: AdapterText | undefined, other: string, otherText: AdapterText | undefined): ApiError {
  const has = (whose: string, of: AdapterText | undefined) =>
    of ? `${whose} has its own ${of.what.join(' and ')}` : `${whose} has the base model's`
  return new ApiError(
    'invalid_request',
    `x-lora-adapter: ${name} and ${other} read text in different ways (${has(name, text)}, ${has(other, otherText)}); mix adapters that read it alike`,
    'x-lora-adapter',
  )
}
