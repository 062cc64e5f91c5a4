/** The methods, one line each. Adding one: docs/adding-an-adapter-method.md. */
import { AdapterError } from '../errors.ts'
import { adalora } from './adalora.ts'
import { delora } from './delora.ts'
import { hira } from './hira.ts'
import { ia3 } from './ia3.ts'
import { loha } from './loha.ts'
import { lokr } from './lokr.ts'
import { lora } from './lora.ts'
import type { Method } from './method.ts'
import { miss } from './miss.ts'
import { randlora } from './randlora.ts'
import { trainableTokens } from './tokens.ts'
import { vblora } from './vblora.ts'
import { vera } from './vera.ts'

const METHODS = new Map<string, Method>(
  [lora, adalora, vera, loha, lokr, ia3, randlora, miss, hira, delora, vblora, trainableTokens].map((method) => [
    method.peftType,
    method,
  ]),
)

export const SUPPORTED_METHODS: string[] = [...METHODS.keys()]

/** Throws adapter_method_unsupported, listing what there is. */
export function methodOf(file: string, peftType: unknown): Method {
  const method = typeof peftType === 'string' ? METHODS.get(peftType) : undefined
  if (method) return method
  throw new AdapterError(
    'adapter_method_unsupported',
    `${file}: peft_type is ${JSON.stringify(peftType) ?? 'missing'}; supported are ${SUPPORTED_METHODS.join(', ')}`,
  )
}
