/** Adapters with tokens of their own beside others on the CPU. What they compute is among the oracle's families (oracle.test.ts). */
import t from 'tap'
import { checkAddedTokens } from '../support/added-tokens.ts'
import { OracleFamily } from '../support/oracle.ts'

for (const name of ['added-heads16', 'added-gemma2-heads16'])
  t.test(name, async (t) => {
    const family = new OracleFamily(name)
    const engine = await family.start(family.ampleBlocks)
    t.teardown(() => engine.close())
    await checkAddedTokens(t, family, engine)
  })

t.test('one that steps queued ahead feed to themselves', async (t) => {
  const family = new OracleFamily('added-heads16')
  const engine = await family.start(family.ampleBlocks, { asyncScheduling: true })
  t.teardown(() => engine.close())
  for (const verdict of await family.runAll(engine)) t.match(verdict, { wrongAt: -1, error: undefined }, verdict.name)
})

t.test('without room for any, the graph has none, and the base answers as before', async (t) => {
  const family = new OracleFamily('llama-heads16')
  const prompt = family.cases[0].row
  const answers = []
  for (const extraTokens of [0, 1, 256]) {
    const engine = await family.start(family.ampleBlocks, { extraTokens })
    t.equal(engine.info.addedTokens, extraTokens === 0 ? 0 : extraTokens === 1 ? 64 : 256)
    answers.push(await family.run(engine, { name: 'base', weights: {}, row: prompt }, 'one'))
    await engine.close()
  }
  t.same(answers[1], answers[0])
  t.same(answers[2], answers[0])
})
