/** Models and adapters of the Hugging Face Hub. */
export { hubOfFolder } from './cache.ts'
export { HubDownloads } from './downloads.ts'
export type { HubFolder, HubProgress } from './hub.ts'
export { type HubName, hubText, namesHub, parseHubName } from './name.ts'
export { type HubSettings, hubSettings } from './settings.ts'
export type { HubKind } from './wanted.ts'
