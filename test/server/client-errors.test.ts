import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { ConnectionError } from 'fastify'
import t from 'tap'
import { clientErrorHandler } from '../../server/client-errors.ts'

t.test('a client that cannot be read is told once, however much more of it comes while it does not listen', async (t) => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  client.pause()
  socket.on('error', () => {})
  t.teardown(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  // More than the system takes: the end of the answer stays unsent.
  socket.write(Buffer.alloc(16 << 20))
  const listeners = socket.listenerCount('finish')
  const handle = clientErrorHandler(60)
  const error = Object.assign(new Error('Parse Error'), { code: 'HPE_INVALID_METHOD' }) as unknown as ConnectionError
  handle(error, socket)
  const told = socket.writableLength
  // Node's parser finds the same fault in each piece that comes.
  for (let i = 0; i < 20; i++) handle(error, socket)
  t.equal(socket.writableLength, told)
  t.ok(socket.listenerCount('finish') <= listeners + 1, `${socket.listenerCount('finish') - listeners} listeners more`)
})
