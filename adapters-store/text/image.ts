/** An image with what its adapter's folder says of text. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { asAdapterError } from '../errors.ts'
import type { AdapterFolder } from '../files.ts'
import type { AdapterImage, BaseModel, LoadOptions } from '../types.ts'
import { limitOf, TEXT_FILES } from './files.ts'
import { type TextKnowledge, TextReader } from './read.ts'

/** Each file is read once. Throws AdapterError. */
export function withText(
  image: AdapterImage,
  folder: Pick<AdapterFolder, 'readOptional'>,
  base: BaseModel,
  { tokenizers }: LoadOptions,
  known?: TextKnowledge,
): AdapterImage {
  const warnings = [...(image.warnings ?? [])]
  const unused = (what: string) => warnings.push(`${what}: the base model's serve it (--adapter-tokenizers base)`)
  try {
    const files = new Map(TEXT_FILES.map((name) => [name, folder.readOptional(name, limitOf(name))]))
    if (![...files.values()].some((bytes) => bytes)) return image
    const ofBase = (name: string) => {
      const file = join(base.directory, name)
      return existsSync(file) ? readFileSync(file) : undefined
    }
    const reader = new TextReader(ofBase, known)
    const read = (name: string) => files.get(name)
    const text = reader.read(read, image.vocabSize ?? base.vocabSize, (message) => warnings.push(message))
    if (!text) return { ...image, warnings }
    if (tokenizers === 'base') {
      unused(`its own ${text.what.join(' and ')} are not used`)
      return { ...image, warnings }
    }
    const digest = createHash('sha256').update(`${image.digest} ${text.digest}`).digest('hex')
    return { ...image, digest, text, warnings }
  } catch (error) {
    if (tokenizers !== 'base') throw error
    unused(`its own tokenizer is not used (${asAdapterError(error).message})`)
    return { ...image, warnings }
  }
}
