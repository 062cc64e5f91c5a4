/** What one PEFT method has to say; see docs/adding-an-adapter-method.md. */
import type { ConfigReader, Rule } from '../config.ts'
import type { Fold } from '../fold.ts'
import type { FoldContext, SiteTensors } from '../tensors.ts'
import type { Site } from '../types.ts'

export interface Method {
  /** `peft_type` of adapter_config.json. */
  peftType: string
  /** Rules for the config keys that are this method's own. */
  config: Record<string, Rule>
  /** For people: `lora`, `dora`, … */
  label?(config: ConfigReader): string
  /** Parameters that this method leaves at a module (`lora_A`); a module without any of them is none of its business. */
  parameters: string[]
  /** Kinds of site that PEFT can put this method on. */
  sites: Site['kind'][]
  /** Called once, before the sites: reads what they share and returns how to fold one site. */
  prepare(context: FoldContext): (tensors: SiteTensors) => Fold
}
