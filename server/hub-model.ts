/** Where the base model is: in a folder of this machine, or on the hub. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { AdapterError, type HubDownloads, type HubName, hubText, namesHub, parseHubName } from '../adapters-store/index.ts'
import { ConfigError } from './config/values.ts'

/** What the operator gave, if it names something on the hub: a folder of that name goes first, and what begins as a path is one. */
export function hubNameOf(given: string): HubName | undefined {
  if (!namesHub(given) && (existsSync(given) || path.isAbsolute(given) || /^[.~]/.test(given))) return undefined
  const name = parseHubName(given)
  if (name === undefined && namesHub(given)) throw new ConfigError(`${given} must be hf://ORG/NAME[@REVISION]`)
  return name
}

export interface FoundModel {
  directory: string
  /** As it was asked of the hub. */
  hub?: HubName
}

/** `given`: a folder, or `org/name[@revision]`, which is fetched. Throws ConfigError, with what would be right. */
export async function findModel(given: string, hub: HubDownloads): Promise<FoundModel> {
  const name = hubNameOf(given)
  if (name === undefined) return { directory: path.resolve(given) }
  if (name.folder !== '')
    throw new ConfigError(`the model folder ${given} does not exist, and a model of the hub is ORG/NAME[@REVISION]`)
  try {
    const { directory } = await hub.fetch(name, 'model', new AbortController().signal)
    return { directory, hub: name }
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error
    const folder = namesHub(given) ? '' : `, and there is no folder ${given} here`
    throw new ConfigError(`the model ${hubText(name)} cannot be fetched: ${error.detail}${folder}`)
  }
}
