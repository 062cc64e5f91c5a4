/** Every model family. A new one is a file beside this and a name in the list. */
import type { Family } from '../architecture.ts'
import { type Config, shown } from '../config.ts'
import { gemma2, gemma3 } from './gemma.ts'
import { granite } from './granite.ts'
import { llama } from './llama.ts'
import { mistral } from './mistral.ts'
import { olmo2 } from './olmo2.ts'
import { phi3 } from './phi3.ts'
import { qwen2, qwen3 } from './qwen.ts'

const FAMILIES: Family[] = [llama, mistral, qwen2, qwen3, gemma2, gemma3, phi3, olmo2, granite]

export function familyOf(config: Config): Family {
  const type = config.text('model_type')
  const found = FAMILIES.find((family) => family.modelTypes.includes(type))
  if (found) return found
  const supported = FAMILIES.flatMap((family) => family.modelTypes).join(', ')
  throw config.unsupported('model_type', `${shown(type)} is not supported; supported are ${supported}`, 'unsupported_model_type')
}
