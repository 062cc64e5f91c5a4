import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import { base, options } from './refusal.ts'
import { type Config, changedFixture, floats, type Tensors } from './write-adapter.ts'

t.test('a message is bounded, however long the names in a file are', async (t) => {
  const long = 'x'.repeat(20_000)
  const message = (change: (config: Config, tensors: Tensors) => void) => {
    try {
      loadAdapter('bad', changedFixture(t, 'biased/adapters/lora', change), base, options)
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  for (const said of [
    message((_, tensors) => {
      tensors[`base_model.model.model.layers.0.self_attn.q_proj.${long}`] = floats([1])
    }),
    message((config) => Object.assign(config, { peft_type: long })),
    message((config) => Object.assign(config, { [long]: true })),
  ])
    t.ok(said.length > 20 && said.length < 1100, `${said.length} characters: ${said.slice(0, 100)}`)
})
