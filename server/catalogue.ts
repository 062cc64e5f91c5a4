/** The adapters that can be asked for, as the routes see them. */
import type { AdapterImage } from '../adapters-store/types.ts'

export interface AdapterRecord {
  name: string
  /** Folder it came from (`root` in /v1/models). */
  directory: string
  /** Unix seconds. */
  created: number
  /** Absent when the adapter was refused; then `refusal` says why, without paths: clients are told it. */
  image?: AdapterImage
  refusal?: string
  /** The same for whoever runs the server, with paths. */
  detail?: string
}

export interface AdapterCatalogue {
  get(name: string): AdapterRecord | undefined
  /** In order of their names; the same list until they change. */
  list(): readonly AdapterRecord[]
}
