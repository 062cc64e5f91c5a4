/** How long a WebSocket lasts: 60 minutes, here less. */
import t from 'tap'
import { gate } from '../../../server/access/gate.ts'
import { configOf } from '../../../server/config/config.ts'
import { newApp } from '../../../server/http.ts'
import { chatTurns } from '../../../server/openai/chat.ts'
import { Places } from '../../../server/places.ts'
import { responsesOf } from '../../../server/responses/create.ts'
import { responseSockets } from '../../../server/responses/socket-route.ts'
import { TestSocket } from '../../support/web-socket.ts'
import { utilityServing } from '../routes/serving.ts'

t.test('at its end it is told so, and closed', async (t) => {
  const serving = utilityServing()
  const { access, limits, log, readiness } = serving
  const app = newApp(log, configOf({}))
  const countOne = await gate(app, access)
  const responses = responsesOf(serving, chatTurns(serving))
  const places = new Places(limits.maxConcurrentRequests)
  const tools = { responses, access, places, countOne, readiness, mostStreams: 2 }
  await responseSockets(app, tools, { longest: 200, pingEvery: 50, lookEvery: 20 })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const from = performance.now()
  const socket = await TestSocket.open(`${url}/v1/responses`)
  t.match(await socket.told('error'), { error: { code: 'websocket_connection_limit_reached' } })
  const { code } = await socket.closed
  t.equal(code, 1001)
  const lasted = performance.now() - from
  t.ok(lasted >= 190 && lasted < 5000, `${lasted} ms, with pings answered meanwhile`)
})
