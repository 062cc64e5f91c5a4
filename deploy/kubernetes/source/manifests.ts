/** All that is written below deploy/kubernetes. */
import { base } from './base.ts'
import { components } from './components.ts'
import { type Folder, filesOf } from './folder.ts'
import { gatewayOverlay } from './gateway.ts'
import { overlays } from './overlays.ts'

export const folders: Folder[] = [base, ...components, ...overlays, gatewayOverlay]

/** Every file's text by its path from deploy/kubernetes. */
export function manifests(): Map<string, string> {
  return new Map(folders.flatMap((folder) => [...filesOf(folder)]))
}
