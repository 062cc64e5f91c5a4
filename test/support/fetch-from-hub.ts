/** A process of its own that fetches from the hub, to be killed: `node fetch-from-hub.js NAME adapter|model`, with the hub's variables in its environment. */
import { HubDownloads, type HubKind, type HubName, hubSettings, parseHubName } from '../../adapters-store/index.ts'

const [name, kind] = process.argv.slice(2)
await new HubDownloads(hubSettings(process.env)).fetch(
  parseHubName(name) as HubName,
  kind as HubKind,
  new AbortController().signal,
)
