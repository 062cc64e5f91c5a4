/** What an adapter's folder calls the labels of its classifier: the `config.json` of the model that it was trained in, if it was saved beside it. */
import { createHash } from 'node:crypto'
import { jsonReason } from './checkpoint/index.ts'
import { AdapterError } from './errors.ts'
import type { AdapterFolder } from './files.ts'
import { MODEL_CONFIG } from './folders.ts'
import type { AdapterImage, ClassifierHead } from './types.ts'

const LIMIT = 8 << 20
const PROBLEMS: unknown[] = ['regression', 'single_label_classification', 'multi_label_classification']

/** The image with its labels' names and what its logits mean, of which the digest is then too. Only of an adapter with a classifier. Throws AdapterError. */
export function withLabels(image: AdapterImage, folder: Pick<AdapterFolder, 'readOptional'>): AdapterImage {
  const { head } = image
  const bytes = head && folder.readOptional(MODEL_CONFIG, LIMIT)
  if (!bytes) return image
  const said = saidBy(bytes, head.labels)
  if (Object.keys(said).length === 0) return image
  const digest = createHash('sha256')
    .update(`${image.digest} ${JSON.stringify(said)}`)
    .digest('hex')
  return { ...image, digest, head: { ...head, ...said } }
}

function saidBy(bytes: Uint8Array, labels: number): Pick<ClassifierHead, 'names' | 'problem'> {
  let config: { id2label?: unknown; problem_type?: unknown }
  try {
    config = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) ?? {}
  } catch (error) {
    throw new AdapterError('adapter_config_invalid', `${MODEL_CONFIG} is not JSON: ${jsonReason(error)}`)
  }
  const { id2label, problem_type: problem } = config
  if (problem !== undefined && problem !== null && !PROBLEMS.includes(problem))
    throw new AdapterError(
      'adapter_config_invalid',
      `${MODEL_CONFIG}: problem_type must be null or one of ${PROBLEMS.join(', ')}`,
    )
  return {
    ...(id2label !== undefined && id2label !== null && { names: namesIn(id2label, labels) }),
    ...(problem !== undefined && problem !== null && { problem: problem as ClassifierHead['problem'] }),
  }
}

function namesIn(id2label: unknown, labels: number): string[] {
  const said = (typeof id2label === 'object' ? id2label : {}) as Record<string, unknown>
  const names = Array.from({ length: labels }, (_, label) => said[label])
  if (Object.keys(said).length === labels && names.every((name) => typeof name === 'string')) return names as string[]
  throw new AdapterError('adapter_config_invalid', `${MODEL_CONFIG}: id2label must name the ${labels} labels of the classifier`)
}
