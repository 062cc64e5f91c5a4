/** Which requests may leave HTTP. */
import { IncomingMessage } from 'node:http'

/** The one path whose requests may become a WebSocket. */
export const LIVE_PATH = '/ui/live'

/**
 * Once anything listens for upgrades, Node takes every request with `connection: upgrade` for one and reads no body. Java's HTTP client offers `upgrade: h2c` with each request, and
 * may be answered in HTTP/1.1: its requests go on being requests.
 */
export class Incoming extends IncomingMessage {
  private offered = false

  /** Whether the connection is to leave HTTP. The parser says that it was offered, and asks once the head is there. */
  get upgrade(): boolean {
    if (!this.offered || this.method === 'CONNECT') return this.offered
    return this.method === 'GET' && this.headers.upgrade?.toLowerCase() === 'websocket' && this.url?.split('?')[0] === LIVE_PATH
  }

  set upgrade(offered: boolean | null) {
    this.offered = offered === true
  }
}
