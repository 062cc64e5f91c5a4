/** The protocol-buffer writer against bytes worked out by hand from the encoding's specification. */
import t from 'tap'
import { OnnxGraph } from '../../../runtime/model/onnx.ts'
import { Message } from '../../../runtime/model/protobuf.ts'

const bytes = (message: Message) => [...message.bytes()]

t.test('scalars', async (t) => {
  t.same(bytes(new Message().int(1, 150)), [0x08, 0x96, 0x01], "the specification's own example")
  t.same(bytes(new Message().int(1, 0)), [0x08, 0x00])
  t.same(bytes(new Message().int(2, -1)), [0x10, ...Array(9).fill(0xff), 0x01], 'negative: ten bytes')
  t.same(bytes(new Message().int(20, 2 ** 40)), [0xa0, 0x01, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20])
  t.same(bytes(new Message().float(2, 1.5)), [0x15, 0, 0, 0xc0, 0x3f])
})

t.test('strings and messages', async (t) => {
  t.same(bytes(new Message().string(2, 'testing')), [0x12, 0x07, ...new TextEncoder().encode('testing')])
  t.same(bytes(new Message().message(3, new Message().int(1, 150))), [0x1a, 0x03, 0x08, 0x96, 0x01])
})

t.test('a name is written by one node only', async (t) => {
  const graph = new OnnxGraph()
  graph.op('Relu', ['x'], 'y')
  t.throws(() => graph.op('Relu', ['x'], 'y'), /two nodes write y/)
})
